"""Stand-ins for bitsandbytes' layers in an estimate: as big as they are, and as wasteful while they run.

bitsandbytes (0.50) on CPUs dequantizes the whole weight for each pass over a layer: `MatMul8bitFp` and the default
`gemm_4bit`. On GPUs it does so for 4 bits, in bf16, and for 8 bits in the backward pass alone: forward multiplies integers,
whose int32 sums are turned into fp16 and then into the input's type. What it gives has the input's type, also under
autocast. (Bytes of single layers, read off an H200's allocator.)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from peftcost.methods.head import head_test

BLOCK = 64
"""Weights that share a scale in NF4."""
OUTER_BLOCK = 256
"""Scales that share a scale of theirs (double quantization)."""
CODES = 16 + 256
"""Entries of the two code books, which each layer has its own of."""


def quantize_in_place(model: torch.nn.Module, kind: str, device_kind: str, on_dequantize: Callable[[int], None]) -> None:
    """Replace every linear layer but the head's by its stand-in. kind: int8 or nf4. device_kind: cpu or cuda.
    on_dequantize: told the weights of each pass."""
    is_in_head = head_test(model)
    for name, module in list(model.named_modules()):
        for child_name, child in list(module.named_children()):
            full_name = f"{name}.{child_name}" if name else child_name
            if type(child) is torch.nn.Linear and not is_in_head(full_name):
                setattr(module, child_name, QuantizedLinear(child, kind, device_kind, on_dequantize))


class QuantizedLinear(torch.nn.Linear):
    """A linear layer whose weight has the bytes of its int8 or NF4 form."""

    def __init__(self, linear: torch.nn.Linear, kind: str, device_kind: str, on_dequantize: Callable[[int], None]) -> None:
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
        self.on_cuda = ON_CUDA[kind] if device_kind == "cuda" else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.on_cuda is None:
            return _Dequantized.apply(x, self)
        with torch.autocast(x.device.type, enabled=False):  # bitsandbytes chooses its types itself
            return self.on_cuda.apply(x, self)


class _Dequantized(torch.autograd.Function):
    """Both kinds on CPUs."""

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


class _Int8OnCuda(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, layer: QuantizedLinear) -> torch.Tensor:
        ctx.layer, ctx.dtype = layer, x.dtype
        ctx.input = x if ctx.needs_input_grad[0] else None  # MatMul8bitLt holds on to it, in the type that it came in
        quantized = torch.empty(x.shape, dtype=torch.int8)
        shape = (*x.shape[:-1], layer.out_features)
        sums = torch.empty(shape, dtype=torch.int32)
        in_half = torch.empty(shape, dtype=torch.float16)
        out = in_half.to(x.dtype)
        del quantized, sums, in_half
        return out

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> Any:
        if not ctx.needs_input_grad[0]:
            return None, None
        return torch.matmul(grad.to(ctx.dtype), dequantized(ctx.layer, ctx.dtype)), None


class _Nf4OnCuda(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, layer: QuantizedLinear) -> torch.Tensor:
        ctx.layer, ctx.dtype = layer, x.dtype
        out = torch.nn.functional.linear(x.to(torch.bfloat16), dequantized(layer, torch.bfloat16), _in_bf16(layer.bias))
        return out.to(x.dtype)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> Any:
        if not ctx.needs_input_grad[0]:
            return None, None
        return torch.matmul(grad.to(torch.bfloat16), dequantized(ctx.layer, torch.bfloat16)).to(ctx.dtype), None


def _in_bf16(bias: torch.Tensor | None) -> torch.Tensor | None:
    return None if bias is None else bias.to(torch.bfloat16)


ON_CUDA: dict[str, Any] = {"int8": _Int8OnCuda, "nf4": _Nf4OnCuda}


def dequantized(layer: QuantizedLinear, dtype: torch.dtype) -> torch.Tensor:
    layer.on_dequantize(layer.in_features * layer.out_features)
    return torch.empty(layer.out_features, layer.in_features, dtype=dtype)
