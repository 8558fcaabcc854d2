"""Loads the pretrained base, quantized if a method asks for it, and its tokenizer."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoTokenizer, BitsAndBytesConfig, PreTrainedModel, PreTrainedTokenizerBase
from transformers.integrations import bitsandbytes as quantizing

from peftcost.cost.meter import Stopwatch
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


@dataclass
class Clock:
    """Seconds that were spent on something."""

    seconds: float = 0.0


@contextlib.contextmanager
def quantizing_clock(device: torch.device) -> Iterator[Clock]:
    """Adds up what transformers spends on quantizing weights, of all that it does while it loads them."""
    clock = Clock()
    operations: tuple[Any, ...] = (quantizing.Bnb4bitQuantize, quantizing.Bnb8bitQuantize)
    originals = [operation.convert for operation in operations]

    def timed(convert: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            watch = Stopwatch(device)
            try:
                return convert(*args, **kwargs)
            finally:
                clock.seconds += watch.lap()

        return run

    try:
        for operation, original in zip(operations, originals, strict=True):
            operation.convert = timed(original)
        yield clock
    finally:
        for operation, original in zip(operations, originals, strict=True):
            operation.convert = original


def quiet_transformers() -> None:
    """No progress bars and no reports of a head that is fresh by intention."""
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()


def keep_weights_trainable(model: torch.nn.Module) -> None:
    """Stop bitsandbytes from repacking 4-bit weights at the first evaluation on CPUs with AVX-512 bf16: the repacked
    weights cannot be trained on (matmul_4bit then adds the bias in place), and their kernel computes in bf16."""
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            setattr(module, "support_avx512bf16_for_cpu", False)  # noqa: B010  (torch types all attributes as modules)


def load_tokenizer(model: str | Path, pre_split: bool = False) -> PreTrainedTokenizerBase:
    """The base's tokenizer, padding on the right, with a pad token in any case.

    pre_split: for lists of words. Byte-level tokenizers then put the space back that stood before each word.
    """
    options = {"add_prefix_space": True} if pre_split else {}
    tokenizer = AutoTokenizer.from_pretrained(str(model), **options)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.padding_side = "right"
    return tokenizer
