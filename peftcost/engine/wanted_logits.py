"""Lets a language model's head see only the positions whose logits are wanted: logits are as wide as the vocabulary.

No architecture is named: what the model hands to its output embeddings is cut down on the way. Where it has none, or hands
them something else, all logits are computed. Many logits of a plain linear head are lazy: the loss computes them in chunks.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch

from peftcost.tasks.batch import Batch
from peftcost.tasks.lazy_logits import LazyLogits, chunks_pay

Select = Callable[[torch.Tensor], torch.Tensor | None]


@contextlib.contextmanager
def seen_by_head(model: torch.nn.Module, select: Select) -> Iterator[None]:
    """Within this context the head gets what `select` makes of its input, or that as it is where it gives None; and gives
    lazy logits where they are many."""
    head: Any = getattr(model, "get_output_embeddings", lambda: None)()
    if head is None:
        yield
        return

    def before(_: torch.nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        chosen = select(args[0]) if len(args) == 1 and args[0].ndim == 3 else None
        return None if chosen is None else (chosen,)

    handle = head.register_forward_pre_hook(before)
    try:
        with computed_later(head):
            yield
    finally:
        handle.remove()


@contextlib.contextmanager
def computed_later(head: torch.nn.Module) -> Iterator[None]:
    """Within this context a linear head's logits are lazy where they are many. Other heads (LoRA's, quantized ones) are left
    as they are."""
    if type(head) is not torch.nn.Linear or "forward" in vars(head):
        yield
        return

    def forward(hidden: torch.Tensor) -> torch.Tensor:
        precision = precision_of(head, hidden)
        if precision is None or not chunks_pay(head, hidden.numel() // head.in_features, precision):
            return torch.nn.Linear.forward(head, hidden)
        return LazyLogits(hidden, head, precision)

    head.forward = forward  # type: ignore[method-assign,assignment]
    try:
        yield
    finally:
        del head.forward


def precision_of(head: torch.nn.Linear, hidden: torch.Tensor) -> torch.dtype | None:
    """In which the head computes; None where it cannot take what it is given."""
    kind = hidden.device.type
    if torch.is_autocast_enabled(kind):
        return torch.get_autocast_dtype(kind)
    return hidden.dtype if hidden.dtype is head.weight.dtype else None


def with_places(batch: Batch, places: int, groups: int = 1) -> Batch:
    """The batch with exactly so many positions kept in each of its equal groups of rows, whatever its texts are.

    One that is not kept stands in for those that are missing: the loss counts none of its logits. All are wanted where that
    would be no fewer, or where a group has more.
    """
    size = batch.rows * batch.width // groups
    if batch.kept is None or places >= size:
        return replace(batch, kept=None)
    of_groups = batch.kept // size
    counts = torch.bincount(of_groups, minlength=groups)
    if int(counts.max()) > places:
        return replace(batch, kept=None)
    marks = torch.zeros(groups, size, dtype=torch.long)
    marks.view(-1)[batch.kept] = 1
    kept = (marks.argmin(1) + torch.arange(groups) * size)[:, None].repeat(1, places)
    first = counts.cumsum(0) - counts
    kept[of_groups, torch.arange(len(batch.kept)) - first[of_groups]] = batch.kept
    return replace(batch, kept=kept.flatten())


def kept_of(batch: Batch) -> Select:
    """Of the hidden states of a padded batch, shape (rows, width, hidden), behind any virtual tokens: (n, hidden)."""

    def select(hidden: torch.Tensor) -> torch.Tensor | None:
        if batch.kept is None or len(hidden) != batch.rows or hidden.shape[1] < batch.width:
            return None
        return hidden[:, -batch.width :].flatten(0, 1)[batch.kept]

    return select
