"""What a model is given at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class EndToEnd:
    """Of texts that lie behind each other in one row: how many they are, and how many tokens the longest may have."""

    texts: int
    longest: int


@dataclass(frozen=True)
class Batch:
    """Tensors of one forward pass.

    inputs: keyword arguments of the model, each of shape (rows, ...). targets: as the task type's loss takes them. width: of
    the activations that layers hand on (tokens, patches). activations: of the frozen layers, shape (rows, width, hidden),
    where they need not be computed. kept: flat places, of rows × width, of the only positions whose logits are wanted; None
    for all. weights: of each row in the loss, shape (rows,), where the task gives each one target; None for equal ones.
    end_to_end: where all texts lie in one row. unmasked: whether a causal base is to see no mask.
    """

    inputs: dict[str, torch.Tensor]
    targets: torch.Tensor
    width: int
    activations: torch.Tensor | None = None
    kept: torch.Tensor | None = None
    weights: torch.Tensor | None = None
    end_to_end: EndToEnd | None = None
    unmasked: bool = False

    @property
    def rows(self) -> int:
        return int(next(iter(self.inputs.values())).shape[0])

    @property
    def examples(self) -> int:
        return self.rows if self.end_to_end is None else self.end_to_end.texts

    def chunks(self, k: int) -> list[Batch]:
        """The batch in k equal groups of rows, without activations. Of each as many logits are wanted."""
        inputs = {name: tensor.chunk(k) for name, tensor in self.inputs.items()}
        parts = zip(*inputs.values(), strict=True)
        size = self.rows * self.width // k
        kept = [None] * k if self.kept is None else [own - i * size for i, own in enumerate(self.kept.chunk(k))]
        return [
            Batch(dict(zip(inputs, part, strict=True)), targets, self.width, kept=own)
            for part, targets, own in zip(parts, self.targets.chunk(k), kept, strict=True)
        ]

    def to(self, device: torch.device) -> Batch:
        """The same on a device. Activations are where the model is."""
        inputs = {name: tensor.to(device, non_blocking=True) for name, tensor in self.inputs.items()}
        kept = None if self.kept is None else self.kept.to(device, non_blocking=True)
        weights = None if self.weights is None else self.weights.to(device, non_blocking=True)
        targets = self.targets.to(device, non_blocking=True)
        return replace(self, inputs=inputs, targets=targets, kept=kept, weights=weights)


def dummy_numbers(name: str, shape: tuple[int, ...], lengths: Sequence[int]) -> Batch:
    """A batch of an input of numbers, such as pixels, with as many rows as there are lengths. They differ, so that a model
    that mixes them up is noticed."""
    import torch

    rows = len(lengths)
    numbers = (torch.arange(rows * math.prod(shape)) % 97).reshape(rows, *shape) / 97
    return Batch({name: numbers}, torch.zeros(rows, dtype=torch.long), max(lengths))
