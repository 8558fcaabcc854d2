"""Follows a step operator by operator under fake tensors: what lives when, and how much of each kind of work is done."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from functools import cache
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from peftcost.cost.rates import Work

ATTENTION_KERNELS = ("scaled_dot_product", "bmm", "baddbmm")
KINDS = {
    "random_elements": ("native_dropout", "bernoulli", "rand_like"),
    "curved_elements": ("gelu", "softmax", "tanh", "silu", "exp", "sigmoid", "erf", "pow", "layer_norm", "rsqrt"),
    "gathered_elements": ("embedding", "index", "gather", "scatter"),
    "optimizer_elements": ("adam",),
}
"""What operators are counted as whose names have one of these parts, the first that holds."""
UNTIMED = ("empty", "detach", "alias", "lift_fresh", "_local_scalar_dense")


class Tracker(TorchDispatchMode):
    """Follows every operator: storages from their making to their end, floating-point operations, bytes moved."""

    def __init__(self) -> None:
        super().__init__()
        self.phase = "forward"
        self.live = {"forward": 0, "backward": 0, "optimizer": 0}
        self.at_peak: dict[str, dict[str, int]] = {}
        """By phase, what lived from which phase when most did."""
        self.counts: dict[tuple[str, str], float] = {}
        self._known: dict[int, weakref.ref[Any]] = {}

    def enter(self, phase: str) -> None:
        self.phase = phase

    def scale_passes(self, factor: float) -> None:
        """Count what was computed and moved before the optimizer's step so many times."""
        for phase, kind in list(self.counts):
            if phase != "optimizer":
                self.counts[phase, kind] *= factor

    def work(self) -> Work:
        """All phases together."""
        total: dict[str, float] = {}
        for (_, kind), amount in self.counts.items():
            total[kind] = total.get(kind, 0.0) + amount
        return Work(**total)

    def know(self, tensors: Iterable[torch.Tensor]) -> int:
        """Take these as there from the start; their bytes, each storage once."""
        total = 0
        for tensor in tensors:
            storage = tensor.untyped_storage()
            if id(storage) not in self._known:
                self._known[id(storage)] = weakref.ref(storage)
                total += storage.nbytes()
        return total

    def add(self, kind: str, amount: float) -> None:
        self.counts[self.phase, kind] = self.counts.get((self.phase, kind), 0.0) + amount

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        outputs = tensors_in(out)
        for tensor in outputs:
            self._see(tensor)
        kind = kind_of(func)
        if kind is not None:
            self._count(kind, func, args, kwargs or {}, out, outputs)
        return out

    def _see(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        key = id(storage)
        if key in self._known:
            return
        size, phase = storage.nbytes(), self.phase
        self.live[phase] += size
        if sum(self.live.values()) > sum(self.at_peak.get(phase, {}).values()):
            self.at_peak[phase] = dict(self.live)

        def gone(_: Any) -> None:
            self.live[phase] -= size
            self._known.pop(key, None)

        self._known[key] = weakref.ref(storage, gone)

    def _count(self, kind: str, func: Any, args: Any, kwargs: Any, out: Any, outputs: list[torch.Tensor]) -> None:
        self.add("kernels", 1)
        if kind.endswith("flops"):
            self.add(kind, flop_registry[func.overloadpacket](*args, **kwargs, out_val=out))
        elif kind == "random_elements":
            self.add(kind, outputs[0].numel())
        elif kind == "optimizer_elements":
            self.add(kind, sum(t.numel() for t in tensors_in((args, kwargs))) / 4)
        elif kind == "moved_bytes":
            self.add(kind, sum(t.numel() * t.element_size() for t in [*tensors_in((args, kwargs)), *outputs]))
        else:
            self.add(kind, sum(t.numel() for t in outputs))


def tensors_in(value: Any) -> list[torch.Tensor]:
    """The tensors in what an operator takes or gives."""
    if isinstance(value, torch.Tensor):
        return [value]
    return [t for t in torch.utils._pytree.tree_leaves(value) if isinstance(t, torch.Tensor)]


@cache
def kind_of(func: Any) -> str | None:
    """What the work of this operator is counted as; None where it takes no time."""
    name = func._schema.name.removeprefix("aten::")
    if func.is_view or name.startswith(UNTIMED):
        return None
    if flop_registry.get(func.overloadpacket) is not None:
        return "attention_flops" if any(part in name for part in ATTENTION_KERNELS) else "matmul_flops"
    return next((kind for kind, parts in KINDS.items() if any(part in name for part in parts)), "moved_bytes")
