"""Stand-ins for bitsandbytes' layers in a rehearsal: as big as they are, and as wasteful while they run.

On CPUs, bitsandbytes (0.50) dequantizes the whole weight for each pass over a layer: `MatMul8bitFp` and the default
`gemm_4bit`. On GPUs its kernels fuse the forward pass; the backward pass dequantizes there as well.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from peftcost.methods.head import KEEP_IN_FULL_PRECISION

BLOCK = 64
"""Weights that share a scale in NF4."""
OUTER_BLOCK = 256
"""Scales that share a scale of theirs (double quantization)."""
CODES = 16 + 256
"""Entries of the two code books, which each layer has its own of."""


def quantize_in_place(model: torch.nn.Module, kind: str, on_dequantize: Callable[[int], None]) -> None:
    """Replace every linear layer but the head's by its stand-in. on_dequantize: told the weights of each pass."""
    for name, module in list(model.named_modules()):
        for child_name, child in list(module.named_children()):
            full_name = f"{name}.{child_name}" if name else child_name
            kept = any(part in KEEP_IN_FULL_PRECISION for part in full_name.split("."))
            if type(child) is torch.nn.Linear and not kept:
                setattr(module, child_name, QuantizedLinear(child, kind, on_dequantize))


class QuantizedLinear(torch.nn.Linear):
    """A linear layer whose weight has the bytes of its int8 or NF4 form."""

    def __init__(self, linear: torch.nn.Linear, kind: str, on_dequantize: Callable[[int], None]) -> None:
        torch.nn.Module.__init__(self)
        self.in_features, self.out_features = linear.in_features, linear.out_features
        n = linear.weight.numel()
        size = n if kind == "int8" else (n + 1) // 2
        self.weight = torch.nn.Parameter(torch.zeros(1, dtype=torch.uint8).expand(size), requires_grad=False)
        self.weight.unpacked_numel = n  # type: ignore[attr-defined]
        if kind == "int8":
            scales = [torch.empty(self.out_features)]
        else:
            blocks = -(-n // BLOCK)
            scales = [torch.empty(blocks, dtype=torch.uint8), torch.empty(-(-blocks // OUTER_BLOCK)), torch.empty(CODES)]
        for i, scale in enumerate(scales):
            self.register_buffer(f"scale_{i}", scale)
        self.bias = linear.bias
        self.kind, self.on_dequantize = kind, on_dequantize

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return _Dequantized.apply(x, self)


class _Dequantized(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, layer: QuantizedLinear) -> torch.Tensor:
        ctx.layer = layer
        ctx.input = x if layer.kind == "int8" else None  # MatMul8bitFp holds on to it, longer than autograd would
        return torch.nn.functional.linear(x, dequantized(layer, x.dtype), layer.bias)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> Any:
        if not ctx.needs_input_grad[0]:
            return None, None
        return torch.matmul(grad, dequantized(ctx.layer, grad.dtype)), None


def dequantized(layer: QuantizedLinear, dtype: torch.dtype) -> torch.Tensor:
    layer.on_dequantize(layer.in_features * layer.out_features)
    return torch.empty(layer.out_features, layer.in_features, dtype=dtype)
