"""Lets a language model's head see only the positions whose logits are wanted: logits are as wide as the vocabulary.

No architecture is named: what the model hands to its output embeddings is cut down on the way. Where it has none, or hands
them something else, all logits are computed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch

from peftcost.tasks.batch import Batch

Select = Callable[[torch.Tensor], torch.Tensor | None]


@contextlib.contextmanager
def seen_by_head(model: torch.nn.Module, select: Select) -> Iterator[None]:
    """Within this context the head gets what `select` makes of its input, or that as it is where it gives None."""
    head: Any = getattr(model, "get_output_embeddings", lambda: None)()
    if head is None:
        yield
        return

    def before(_: torch.nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        chosen = select(args[0]) if len(args) == 1 and args[0].ndim == 3 else None
        return None if chosen is None else (chosen,)

    handle = head.register_forward_pre_hook(before)
    try:
        yield
    finally:
        handle.remove()


def kept_of(batch: Batch) -> Select:
    """Of the hidden states of a padded batch, shape (rows, width, hidden), behind any virtual tokens: (n, hidden)."""

    def select(hidden: torch.Tensor) -> torch.Tensor | None:
        if batch.kept is None or len(hidden) != batch.rows or hidden.shape[1] < batch.width:
            return None
        return hidden[:, -batch.width :].flatten(0, 1)[batch.kept]

    return select


def kept_of_packed(batch: Batch) -> Select:
    """The same of a batch whose texts are laid end to end, shape (1, tokens, hidden)."""
    mask = batch.inputs["attention_mask"].flatten()

    def select(hidden: torch.Tensor) -> torch.Tensor | None:
        return None if batch.kept is None else hidden[0, (mask.cumsum(0) - 1)[batch.kept]]

    return select
