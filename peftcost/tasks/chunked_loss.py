"""Cross entropy over a large vocabulary, a few positions at a time."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import cross_entropy

from peftcost.tasks.base import IGNORED

CHUNK_LOGITS = 2**24
"""At a time: 64 MiB of them in fp32."""


def summed_cross_entropy(logits: torch.Tensor, gold: torch.Tensor, label_smoothing: float = 0.0) -> torch.Tensor:
    """Over all positions whose token is not IGNORED, in fp32, shape (). logits: (n, vocabulary); gold: (n,).

    Logits in bf16 that are many are taken a chunk at a time, and give their gradients then and there. So of each there are
    the bf16 number and its bf16 gradient (4 bytes), where else its logarithm and gradient in fp32 lie beside them (12 bytes).
    Not in fp16, whose small gradients vanish before they are scaled. After Hsu et al. 2024, Liger Kernel (arXiv 2410.10989).
    """
    if logits.dtype is torch.bfloat16 and logits.numel() > CHUNK_LOGITS:
        total: torch.Tensor = _InChunks.apply(logits, gold, label_smoothing)
        return total
    return _summed(logits, gold, label_smoothing)


def _summed(logits: torch.Tensor, gold: torch.Tensor, label_smoothing: float) -> torch.Tensor:
    return cross_entropy(logits.float(), gold, reduction="sum", ignore_index=IGNORED, label_smoothing=label_smoothing)


class _InChunks(torch.autograd.Function):
    """The backward pass may run once: it turns the kept gradients into what it gives."""

    @staticmethod
    def forward(ctx: Any, logits: torch.Tensor, gold: torch.Tensor, label_smoothing: float) -> torch.Tensor:
        ctx.gradients = torch.empty_like(logits) if ctx.needs_input_grad[0] else None
        total = torch.zeros((), device=logits.device)
        positions = max(1, CHUNK_LOGITS // logits.shape[1])
        for start in range(0, len(logits), positions):
            chunk = slice(start, start + positions)
            with torch.set_grad_enabled(ctx.gradients is not None):
                part = logits[chunk].detach().requires_grad_(ctx.gradients is not None)
                loss = _summed(part, gold[chunk], label_smoothing)
            if ctx.gradients is not None:
                ctx.gradients[chunk] = torch.autograd.grad(loss, part)[0]
            total += loss.detach()
        return total

    @staticmethod
    def backward(ctx: Any, upstream: torch.Tensor) -> tuple[torch.Tensor | None, None, None]:
        return ctx.gradients.mul_(upstream), None, None
