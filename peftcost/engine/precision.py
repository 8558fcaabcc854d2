"""In what a device computes a setup, and in what it holds the part of the base that the setup does not train."""

from __future__ import annotations

import torch

from peftcost.core.setup import WEIGHTS, Scalar
from peftcost.cost.device import cpu_computes_in_bf16
from peftcost.methods import Method

Choices = dict[str, Scalar]


def candidates(method: Method, device_kind: str) -> list[Choices]:
    """Choices that are worth a try on this process's device. Several only where steps have to be timed to tell."""
    if device_kind == "cuda":
        return [on_gpu(method, torch.cuda.is_bf16_supported(including_emulation=False))]
    in_bf16: list[Choices] = [{"precision": "bf16"}] if device_kind == "cpu" and cpu_computes_in_bf16() else []
    return [{"precision": "fp32"}, *in_bf16]


def on_gpu(method: Method, has_bf16: bool) -> Choices:
    """On any GPU half precision is faster, and frozen weights in bf16 lose nothing that training would see. GPUs from before
    Ampere have fp16 alone, whose range is too small to hold weights in."""
    if not has_bf16:
        return {"precision": "fp16"}
    return {"precision": "bf16"} if method.trains_whole_base else {"precision": "bf16", WEIGHTS: "bf16"}


def leave_to_autocast(model: torch.nn.Module, precision: str) -> None:
    """Where autocast chooses types, let PEFT's layers choose none: they would turn an adapter's input into fp32, and autocast
    back. DoRA computes a norm in its input's type, so this belongs to what is loaded as to what is trained."""
    if precision == "fp32":
        return
    from peft.tuners.tuners_utils import BaseTunerLayer

    for module in model.modules():
        if isinstance(module, BaseTunerLayer):
            module.cast_input_dtype_enabled = False  # type: ignore[assignment]  # torch types all attributes as modules
