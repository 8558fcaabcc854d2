"""How a base computes attention on a GPU: as transformers chooses, or in another way that is measured to be faster.

Timed are steps as a training takes them: replayed, where they can be captured, and with texts end to end, where the attention
is told where they end. Of a base that is not causal, flash-attention leaves out padding, which it counts on the CPU, so that
its steps are not captured; it has to win by long rows. FlexAttention is not tried: it compiles before its first step, on the
GPU's bill.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

import torch
import transformers
from transformers.utils import is_flash_attn_2_available

from peftcost.core.setup import ATTENTION, WEIGHTS, Scalar
from peftcost.engine.job import TrainJob
from peftcost.engine.varlen import HAS_VARLEN, VARLEN

SDPA, EAGER, FLASH = "sdpa", "eager", "flash_attention_2"
TOLD_OF_ENDS = (VARLEN, FLASH)
"""What keeps texts apart that lie end to end in one row."""
MOST_EAGER_TOKENS = 128
"""Of longer rows, the probabilities take more memory, and more time to write and read, than all else of the attention."""
WORTH_CHANGING = 0.97
"""Another is taken where its step takes less than this share of the time: what is less is noise."""


def others_worth_timing(
    choices: Mapping[str, Scalar],
    tokens: int,
    per_position: bool,
    peak_bytes: int,
    peak_bytes_with: Callable[[str], int | None],
) -> dict[str, int]:
    """Other ways than transformers' choice that a probe is to time, with the peak_bytes of each. Found without a GPU.

    tokens: of the longest row. per_position: whether targets belong to positions, so that texts can lie end to end.
    peak_bytes: with transformers' choice; flash-attention keeps no more. peak_bytes_with: with another; None where it does
    not fit. None are timed where the choice was made, nor where layers are left untouched: such steps tell little of the
    backward pass. flash-attention computes in half precision alone, also when a model writes, which is beside autocast; so
    its base has to be held in bf16.
    """
    if choices.get(ATTENTION) is not None or choices.get("top_layers") is not None or not peak_bytes:
        return {}
    eager = peak_bytes_with(EAGER) if tokens <= MOST_EAGER_TOKENS else None
    varlen = peak_bytes_with(VARLEN) if per_position and choices["precision"] == "bf16" else None
    flash = peak_bytes if choices.get(WEIGHTS) == "bf16" else None
    return {name: peak for name, peak in ((EAGER, eager), (VARLEN, varlen), (FLASH, flash)) if peak is not None}


def settled(job: TrainJob, plain: Any, step_seconds: Callable[[], float]) -> TrainJob:
    """The job with what is measured to be fastest, which its model computes with from now on.

    plain: the model. step_seconds: of a training step. Whatever cannot be is left out before it is tried: what fails inside a
    kernel would end the process.
    """
    usual = attention_of(plain.config)
    others = [name for name in job.attentions if name != usual and takes(plain, name)]
    if usual is None or not others:
        return job.with_attention(None)
    times = {usual: step_seconds()}
    for name in others:
        with contextlib.suppress(ImportError, ValueError, NotImplementedError, torch.OutOfMemoryError):
            plain.set_attn_implementation(name)
            times[name] = step_seconds()
    chosen = fastest(times, usual)
    plain.set_attn_implementation(chosen)
    return job.with_attention(None if chosen == usual else chosen)


def fastest(times: Mapping[str, float], usual: str) -> str:
    """Which takes the least time; the usual one, where none takes clearly less."""
    best = min(times, key=lambda name: times[name])
    return best if times[best] < WORTH_CHANGING * times[usual] else usual


def takes(plain: Any, name: str) -> bool:
    """Whether this model can compute attention in this way here, and be told so. What flash-attention cannot compute for it
    (sinks, chunks), torch's form of it cannot either."""
    supported = name not in TOLD_OF_ENDS or bool(plain._supports_flash_attn)
    return supported and plain._can_set_attn_implementation() and is_installed(name, str(plain.device))


def is_installed(name: str, device: str) -> bool:
    """Whether it can be had on this device: flash-attention is a package of its own, and for GPUs, as torch's own form is."""
    there = {VARLEN: HAS_VARLEN, FLASH: is_flash_attn_2_available()}
    return name not in there or (device.startswith("cuda") and there[name])


def attention_of(config: transformers.PretrainedConfig) -> str | None:
    """How a model of this configuration computes attention, None where nobody has chosen."""
    name = getattr(config, "_attn_implementation", None)
    return None if name is None else str(name)


def is_flash(config: transformers.PretrainedConfig) -> bool:
    return (attention_of(config) or "").startswith("flash_attention")
