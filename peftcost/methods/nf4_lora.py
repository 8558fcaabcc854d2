"""LoRA on a base whose linear layers are held in 4-bit NormalFloat, with double quantization (QLoRA)."""

from __future__ import annotations

from peftcost.methods.lora import Lora


class Nf4Lora(Lora):
    name = "nf4-lora"
    trains = "low-rank updates over a 4-bit base, and the head"
    citation = "Dettmers et al. 2023, QLoRA, arXiv:2305.14314"
    default = True
    priority = 51
    quantization = "nf4"
