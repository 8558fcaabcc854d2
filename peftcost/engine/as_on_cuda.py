"""What a step keeps in memory on a GPU and not on a CPU, where it is estimated.

A GPU's fused attention keeps its inputs, its output and a number a row, also with dropout, where a CPU keeps all
probabilities. Its dropout keeps a byte an element. Under autocast it computes layer norms in fp32. (Saved tensors of both,
compared on an H200.)
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import torch

BACKWARD_OVER_FORWARD = 2.5
"""Five matrix products against two (Dao 2023, FlashAttention-2, section 3.1)."""


@contextlib.contextmanager
def as_on_cuda(mixed: bool, on_flops: Callable[[float], None]) -> Iterator[None]:
    """A context in which torch's attention and layer norm take the memory that they take on a GPU. They compute nothing.

    mixed: under autocast. on_flops: told the floating-point operations of each attention.
    """

    def attention(
        query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, attn_mask: torch.Tensor | None = None, *_: Any, **__: Any
    ) -> torch.Tensor:
        return _FusedAttention.apply(query, key, value, attn_mask, on_flops)

    def layer_norm(x: torch.Tensor, shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> torch.Tensor:
        weight, bias = (None if tensor is None else tensor.float() for tensor in (weight, bias))
        return plain_norm(x.float(), shape, weight, bias, eps)

    def dropout(x: torch.Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> torch.Tensor:
        return torch.native_dropout(x, p, True)[0] if training and p > 0 else x

    functional, plain_norm = torch.nn.functional, torch.nn.functional.layer_norm
    stand_ins: dict[str, Any] = {"scaled_dot_product_attention": attention, "dropout": dropout}
    with contextlib.ExitStack() as stack:
        for name, stand_in in (stand_ins | ({"layer_norm": layer_norm} if mixed else {})).items():
            stack.enter_context(mock.patch.object(functional, name, stand_in))
        yield


class _FusedAttention(torch.autograd.Function):
    """query: shape (rows, heads, tokens, width)."""

    @staticmethod
    def forward(
        ctx: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: Any, on_flops: Any
    ) -> torch.Tensor:
        rows, heads, tokens, _ = query.shape
        out: torch.Tensor = query.new_empty(rows, tokens, heads, value.shape[-1]).transpose(1, 2)
        sums = query.new_empty(rows, heads, tokens, dtype=torch.float32)
        ctx.save_for_backward(query, key, value, mask, out, sums)
        ctx.on_flops = on_flops
        on_flops(flops_of(query, key))
        return out

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> Any:
        query, key, value, *_ = ctx.saved_tensors
        ctx.on_flops(BACKWARD_OVER_FORWARD * flops_of(query, key))
        return torch.empty_like(query), torch.empty_like(key), torch.empty_like(value), None, None


def flops_of(query: torch.Tensor, key: torch.Tensor) -> float:
    """Of a forward pass: two matrix products."""
    return 4.0 * query.numel() * key.shape[-2]
