"""LoRA on a base whose linear layers are held in 8 bits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optuna.distributions import BaseDistribution

from peftcost.methods.lora import Lora

if TYPE_CHECKING:
    from transformers import PretrainedConfig


class Int8Lora(Lora):
    """DoRA is left out: on 8-bit bases it fails on CPUs."""

    name = "int8-lora"
    trains = "low-rank updates over an 8-bit base, and the head"
    citation = "Dettmers et al. 2022, LLM.int8(), arXiv:2208.07339"
    default = True
    priority = 50
    quantization = "int8"

    def space(self) -> dict[str, BaseDistribution]:
        return {key: value for key, value in super().space().items() if key != "dora"}

    def unsupported_reason(self, config: PretrainedConfig, device_kind: str = "cpu") -> str | None:
        if hasattr(config, "depths") and not hasattr(config, "num_heads"):  # a network of convolutions
            return f"int8 layers take no feature maps of {config.model_type}, which have height and width; use nf4-lora"
        return super().unsupported_reason(config, device_kind)
