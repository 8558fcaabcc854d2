"""Cross entropy over a large vocabulary, a few positions at a time."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import cross_entropy, linear

from peftcost.tasks.base import IGNORED
from peftcost.tasks.lazy_logits import are_many, is_lazy

CHUNK_LOGITS = 2**24
"""At a time: 64 MiB of them in fp32."""


def summed_cross_entropy(logits: torch.Tensor, gold: torch.Tensor, label_smoothing: float = 0.0) -> torch.Tensor:
    """Over all positions whose token is not IGNORED, in fp32, shape (). logits: (n, vocabulary); gold: (n,).

    Many logits are taken a chunk at a time, and give their gradients then and there. Lazy ones are computed for that, and
    what remains are gradients of the head and its hidden states; else each logit lies there with its logarithm and gradient
    (12 bytes in fp32). After Hsu et al. 2024, Liger Kernel (arXiv 2410.10989).
    """
    total: torch.Tensor
    if is_lazy(logits):
        head = [_read(t) for t in (logits.hidden, logits.head.weight, logits.head.bias)]
        total = _HeadInChunks.apply(*head, logits.precision, gold, label_smoothing)
    elif are_many(logits.numel(), logits.dtype):
        total = _InChunks.apply(_read(logits), gold, label_smoothing)
    else:
        total = _summed(logits, gold, label_smoothing)
    return total


def _read(tensor: torch.Tensor | None) -> torch.Tensor | None:
    """The tensor; without its gradients where none are wanted, which a function of torch's cannot know itself."""
    return tensor if tensor is None or torch.is_grad_enabled() else tensor.detach()


def _summed(logits: torch.Tensor, gold: torch.Tensor, label_smoothing: float) -> torch.Tensor:
    return cross_entropy(logits.float(), gold, reduction="sum", ignore_index=IGNORED, label_smoothing=label_smoothing)


def _with_gradient(
    logits: torch.Tensor, gold: torch.Tensor, label_smoothing: float, wanted: bool
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """The summed loss, and its gradient by the logits where that is wanted."""
    with torch.set_grad_enabled(wanted):
        part = logits.detach().requires_grad_(wanted)
        loss = _summed(part, gold, label_smoothing)
    return loss.detach(), torch.autograd.grad(loss, part)[0] if wanted else None


def _chunks(positions: int, vocabulary: int, at_least: int = 1) -> list[slice]:
    size = max(at_least, CHUNK_LOGITS // vocabulary)
    return [slice(start, start + size) for start in range(0, positions, size)]


class _InChunks(torch.autograd.Function):
    """The backward pass may run once: it turns the kept gradients into what it gives."""

    @staticmethod
    def forward(ctx: Any, logits: torch.Tensor, gold: torch.Tensor, label_smoothing: float) -> torch.Tensor:
        ctx.gradients = torch.empty_like(logits) if ctx.needs_input_grad[0] else None
        total = torch.zeros((), device=logits.device)
        for chunk in _chunks(*logits.shape):
            loss, gradient = _with_gradient(logits[chunk], gold[chunk], label_smoothing, ctx.gradients is not None)
            if gradient is not None:
                ctx.gradients[chunk] = gradient
            total += loss
        return total

    @staticmethod
    def backward(ctx: Any, upstream: torch.Tensor) -> tuple[torch.Tensor | None, None, None]:
        return ctx.gradients.mul_(upstream), None, None


class _HeadInChunks(torch.autograd.Function):
    """Of a linear head and its hidden states, shape (n, width). The backward pass may run once, too.

    Gradients of what is frozen are not computed. Those of the weight are summed over the chunks in fp32; since each reads and
    writes all of them, chunks are so large that their logits take about as much memory.
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        precision: torch.dtype,
        gold: torch.Tensor,
        label_smoothing: float,
    ) -> torch.Tensor:
        inputs = (hidden, weight, bias)
        x, w, b = (None if t is None else t.to(precision) for t in inputs)
        assert x is not None and w is not None
        of_hidden, of_weight, of_bias = (
            torch.zeros_like(t, dtype=torch.float32) if t is not None and wanted else None
            for t, wanted in zip(inputs, ctx.needs_input_grad, strict=False)
        )
        total = torch.zeros((), device=hidden.device)
        with torch.autocast(hidden.device.type, enabled=False):
            for chunk in _chunks(len(hidden), len(weight), 1 if of_weight is None else max(1, hidden.shape[1] // 4)):
                logits = linear(x[chunk], w, b)
                loss, gradient = _with_gradient(logits, gold[chunk], label_smoothing, any(ctx.needs_input_grad))
                total += loss
                del logits
                if gradient is None:
                    continue
                if of_hidden is not None:
                    of_hidden[chunk] = gradient @ w
                if of_weight is not None:
                    _add_product(of_weight, gradient.T, x[chunk])
                if of_bias is not None:
                    of_bias += gradient.sum(0, dtype=torch.float32)
        ctx.gradients, ctx.dtypes = [of_hidden, of_weight, of_bias], [None if t is None else t.dtype for t in inputs]
        return total

    @staticmethod
    def backward(ctx: Any, upstream: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        gradients, ctx.gradients = ctx.gradients, None  # or they would be copied into the parameters' own
        found = (g if g is None else g.mul_(upstream).to(dtype) for g, dtype in zip(gradients, ctx.dtypes, strict=True))
        return (*found, None, None, None)


def _add_product(total: torch.Tensor, a: torch.Tensor, b: torch.Tensor) -> None:
    """Add a @ b. In another precision it is made before: a block of rows at a time, since it is as large as the head."""
    if a.dtype is total.dtype:
        total.addmm_(a, b)
        return
    for rows in _chunks(*total.shape):
        total[rows] += a[rows] @ b
