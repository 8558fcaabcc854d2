"""What a CUDA graph reads, and how each step's batch gets there without a wait."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from peftcost.tasks.batch import Batch

COPIED_AHEAD_BYTES = 2**20
"""A batch of so many is copied while the step before runs; for a smaller one, starting a second copy takes as long as what it
would hide. 8 × 512 tokens are 96 KB, 16 pictures of 224 × 224 are 9.6 MB."""


class GraphInputs:
    """Tensors on the device, of the shapes of these micro-batches, that a graph reads.

    A large batch goes by a stream of its own into tensors beside them, while the step before still reads these, and from
    there in a copy on the device, which takes a small part of the time that the way from the host takes.
    """

    def __init__(self, parts: Sequence[Batch], n_targets: torch.Tensor, copying: torch.cuda.Stream) -> None:
        """copying: the stream of its own. parts, n_targets: on the CPU."""
        device = copying.device
        self.parts = [_empty(part, device) for part in parts]
        self.n_targets = torch.empty_like(n_targets, device=device)
        self._read = [*tensors_of(self.parts), self.n_targets]
        is_large = sum(tensor.nbytes for tensor in self._read) >= COPIED_AHEAD_BYTES
        self._arriving = [torch.empty_like(tensor) for tensor in self._read] if is_large else None
        self._copying = copying
        copying.wait_stream(torch.cuda.current_stream(device))  # what lay in this memory before may still be read

    def fill(self, parts: Sequence[Batch], n_targets: torch.Tensor) -> None:
        """Let what is started next on the current stream read this batch."""
        host = [pinned(tensor) for tensor in (*tensors_of(parts), n_targets)]
        if self._arriving is None:
            _copy(host, self._read)
            return
        here = torch.cuda.current_stream(self._copying.device)
        with torch.cuda.stream(self._copying):
            _copy(host, self._arriving)
        here.wait_stream(self._copying)
        _copy(self._arriving, self._read)
        self._copying.wait_stream(here)  # the next batch arrives when this one has left, but waits for no step


def tensors_of(parts: Sequence[Batch]) -> list[torch.Tensor]:
    """What each step brings to the device."""
    return [
        tensor
        for part in parts
        for tensor in (*part.inputs.values(), part.targets, *([] if part.kept is None else [part.kept]))
    ]


def pinned(tensor: torch.Tensor) -> torch.Tensor:
    """In memory from which a device copies by itself."""
    return tensor.pin_memory()


def _copy(source: Sequence[torch.Tensor], to: Sequence[torch.Tensor]) -> None:
    for new, there in zip(source, to, strict=True):
        there.copy_(new, non_blocking=True)


def _empty(part: Batch, device: torch.device) -> Batch:
    inputs = {name: torch.empty_like(tensor, device=device) for name, tensor in part.inputs.items()}
    kept = None if part.kept is None else torch.empty_like(part.kept, device=device)
    return replace(part, inputs=inputs, targets=torch.empty_like(part.targets, device=device), kept=kept)
