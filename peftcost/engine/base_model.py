"""Loads the pretrained base, quantized if a method asks for it, and its tokenizer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoTokenizer, BitsAndBytesConfig, PreTrainedModel, PreTrainedTokenizerBase

from peftcost.methods.head import KEEP_IN_FULL_PRECISION


def quantization_config(kind: str | None) -> BitsAndBytesConfig | None:
    """bitsandbytes settings for "int8" or "nf4" (with double quantization; Dettmers et al. 2023, section 3)."""
    keep = [rf"(.*\.)?{name}" for name in KEEP_IN_FULL_PRECISION]  # transformers matches these from the start
    if kind == "int8":
        return BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=keep)
    if kind == "nf4":
        return BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.bfloat16 if torch.cuda.is_available() else torch.float32,
            llm_int8_skip_modules=keep,
        )
    return None


def load_base(
    model: str | Path,
    auto_model: str,
    labels: list[str],
    seed: int,
    quantization: str | None = None,
    device: str = "cpu",
) -> PreTrainedModel:
    """The base with a fresh task head, in fp32. The head's values depend on `seed` alone.

    A device map puts a quantized base where it will stay, since bitsandbytes quantizes on the way there.
    """
    torch.manual_seed(seed)
    options: dict[str, Any] = {"dtype": torch.float32}
    config = quantization_config(quantization)
    if config is not None:
        options |= {"quantization_config": config, "device_map": {"": device}}
    base = getattr(transformers, auto_model).from_pretrained(
        str(model),
        num_labels=len(labels),
        id2label=dict(enumerate(labels)),
        label2id={label: i for i, label in enumerate(labels)},
        **options,
    )
    if quantization == "nf4":
        keep_weights_trainable(base)
    if base.config.pad_token_id is None:
        base.config.pad_token_id = load_tokenizer(model).pad_token_id
    return base


def keep_weights_trainable(model: torch.nn.Module) -> None:
    """Stop bitsandbytes from repacking 4-bit weights at the first evaluation on CPUs with AVX-512 bf16: the repacked
    weights cannot be trained on (matmul_4bit then adds the bias in place), and their kernel computes in bf16."""
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            setattr(module, "support_avx512bf16_for_cpu", False)  # noqa: B010  (torch types all attributes as modules)


def load_tokenizer(model: str | Path) -> PreTrainedTokenizerBase:
    """The base's tokenizer, padding on the right, with a pad token in any case."""
    tokenizer = AutoTokenizer.from_pretrained(str(model))
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.padding_side = "right"
    return tokenizer
