"""Logits of a language model's head that are not computed before something looks at them.

The loss takes them a chunk of positions at a time, and never all. A model may change its logits after the head: cap, scale,
overwrite them. It then gets plain numbers, and everything goes on as without this module. So no architecture is named.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, TypeGuard, cast

import torch
from torch.utils._pytree import tree_map_only

FEW = {torch.bfloat16: 2**26, torch.float32: 2**28}
"""Up to so many logits are computed at once; in fp16 all, since there small gradients vanish that are not scaled first."""
FACTS = tuple(getattr(torch.Tensor, name).__get__ for name in ("shape", "ndim", "dtype", "device"))


def are_many(n: int, dtype: torch.dtype) -> bool:
    """Whether so many logits, computed in this precision, are not to be held at once."""
    return n > FEW.get(dtype, math.inf)


def chunks_pay(head: torch.nn.Linear, positions: int, precision: torch.dtype) -> bool:
    """Whether a head is to compute its logits a chunk at a time. Where it is trained, its gradient is there from the first
    chunk and grows with each: that takes memory, and time in bf16."""
    n = positions * head.out_features
    if head.weight.requires_grad and torch.is_grad_enabled():
        return are_many(n, precision) and n > max(FEW.values()) and positions > head.in_features
    return are_many(n, precision)


class LazyLogits(torch.Tensor):
    """What a linear head makes of hidden states, shape (..., vocabulary). It holds no numbers.

    In fp32 it is as lazy. Whatever else is done with it computes the numbers, once, and with their gradients: from then on it
    stands for them. precision: in which the head computes.
    """

    hidden: torch.Tensor
    head: torch.nn.Linear
    precision: torch.dtype
    with_gradients: bool
    computed: torch.Tensor | None

    @staticmethod
    def __new__(
        cls, hidden: torch.Tensor, head: torch.nn.Linear, precision: torch.dtype, dtype: torch.dtype | None = None
    ) -> LazyLogits:
        shape = (*hidden.shape[:-1], head.out_features)
        made: Any = torch.Tensor._make_wrapper_subclass(cls, shape, dtype=dtype or precision, device=hidden.device)
        made.hidden, made.head, made.precision, made.computed = hidden, head, precision, None
        made.with_gradients = torch.is_grad_enabled()
        return cast(LazyLogits, made)

    def whole(self) -> torch.Tensor:
        """All logits."""
        if self.computed is None:
            with torch.set_grad_enabled(self.with_gradients), torch.autocast(self.hidden.device.type, enabled=False):
                parts = (t if t is None else t.to(self.precision) for t in (self.hidden, self.head.weight, self.head.bias))
                self.computed = torch.nn.functional.linear(*parts).to(self.dtype)
        return self.computed

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Above autograd, so that what a model makes of the numbers has its gradients."""
        if func in FACTS:
            return super().__torch_function__(func, types, args, kwargs)
        if func is torch.Tensor.float and is_lazy(args[0]):
            one = args[0]
            return one if one.dtype is torch.float32 else cls(one.hidden, one.head, one.precision, torch.float32)
        args, kwargs = tree_map_only(cls, cls.whole, (args, kwargs or {}))
        return func(*args, **kwargs)

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # type: ignore[override]
        raise NotImplementedError(f"{func} looks for numbers that nobody has computed")


def is_lazy(logits: torch.Tensor) -> TypeGuard[LazyLogits]:
    """Whether nobody has asked for the numbers."""
    return isinstance(logits, LazyLogits) and logits.computed is None


def by_rows(logits: torch.Tensor, take: Callable[[torch.Tensor], Any]) -> Any:
    """What `take` takes of the logits, as lazy as they are. It takes rows or positions and leaves the vocabulary as it is, so
    it may as well take them of the hidden states."""
    if not is_lazy(logits):
        return take(logits)
    remade = partial(LazyLogits, head=logits.head, precision=logits.precision, dtype=logits.dtype)
    return tree_map_only(torch.Tensor, remade, take(logits.hidden))
