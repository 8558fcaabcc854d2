"""How bases are loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers

from peftcost.engine.base_model import BaseSpec, load_base


def test_no_layer_of_an_encoder_decoder_is_left_out_at_random(tmp_path: Path) -> None:
    """M2M100 draws on the CPU which to leave out; a CUDA graph would leave out the same ones for ever."""
    sizes = {"d_model": 16, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16, "vocab_size": 50, "max_position_embeddings": 32}
    depth = {f"{side}_{what}": 2 for side in ("encoder", "decoder") for what in ("layers", "attention_heads")}
    steady = dict.fromkeys(("dropout", "attention_dropout", "activation_dropout"), 0.0)
    options: dict[str, Any] = {**sizes, **depth, **steady, "encoder_layerdrop": 0.5, "decoder_layerdrop": 0.5}
    transformers.M2M100ForConditionalGeneration(transformers.M2M100Config(**options)).save_pretrained(tmp_path)
    base = load_base(BaseSpec(str(tmp_path), "AutoModelForSeq2SeqLM", {}, fresh_head=False), 0).train()
    ids = torch.arange(5, 13).reshape(2, 4)
    logits = [base(input_ids=ids, decoder_input_ids=ids).logits for _ in range(5)]
    assert all(torch.equal(some, logits[0]) for some in logits)
