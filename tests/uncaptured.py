"""What a CUDA graph would hold, run on a CPU."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch

from peftcost.engine import cuda_graphs
from peftcost.engine.cuda_graphs import Form
from peftcost.engine.graph_inputs import tensors_of
from peftcost.tasks.batch import Batch


class Uncaptured(cuda_graphs.Graphs):
    """Runs what a CUDA graph would hold."""

    ran: list[tuple[Form, bool, tuple[torch.Size, ...]]] = []  # noqa: RUF012

    def __init__(self, function: Any, shapes: cuda_graphs.Shapes, device: torch.device) -> None:
        self.function, self.shapes = function, shapes

    def __call__(self, parts: Sequence[Batch], n_targets: torch.Tensor, form: Form) -> list[torch.Tensor]:
        pays = self.shapes.pays(sum(part.examples for part in parts), form)
        self.ran.append((form, pays, tuple(tensor.shape for tensor in tensors_of(parts))))
        return self.function(parts, n_targets)


def captures_on_cpu(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Lets steps be what a GPU captures, or not."""
    monkeypatch.setattr(cuda_graphs, "Graphs", Uncaptured)
    monkeypatch.setattr(cuda_graphs, "own_stream", lambda device: contextlib.nullcontext())
    Uncaptured.ran = []

    def switch(on: bool) -> None:
        monkeypatch.setattr(cuda_graphs, "unsupported_reason", lambda train_state: None if on else "not now")

    return switch
