"""Where a model's trained part gets its inputs from: the frozen layers, computed now or before."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from peftcost.core.setup import WEIGHTS
from peftcost.cost.meter import Stopwatch
from peftcost.data.features import Split
from peftcost.engine.activations import Activations, open_activations
from peftcost.engine.dataset import Collator
from peftcost.engine.frozen_layers import FrozenLayers
from peftcost.engine.layout import arguments, causal_alone
from peftcost.engine.train_state import TrainState
from peftcost.engine.wanted_logits import kept_of, seen_by_head
from peftcost.tasks.batch import Batch

STORED = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float32}
"""In what precision activations are kept: that of the training, but for fp16, in which large ones would overflow."""


class Source:
    """The frozen layers' activations of a split's examples.

    stored: where they are kept; without it they are computed every time. owed_seconds: what computing those took that were
    found ready, each example once: a training alone would have paid it.
    """

    def __init__(self, frozen_layers: FrozenLayers, split: Split, collator: Collator, device: torch.device) -> None:
        self.frozen_layers, self.split, self.collator, self.device = frozen_layers, split, collator, device
        self.stored: Activations | None = None
        self.owed_seconds = 0.0
        self._used = np.zeros(len(split), dtype=bool)
        self._computed = np.zeros(len(split), dtype=bool)

    def fill(self, indices: np.ndarray, batch: Batch) -> Batch:
        """The batch of these examples with the frozen layers' activations."""
        return replace(batch, activations=self._hidden(indices, batch))

    def paid(self, indices: np.ndarray) -> None:
        """These examples were paid before: a training that is resumed has used them."""
        self._used[indices] = True

    @property
    def kept_rows(self) -> int:
        """Of how many examples the activations are on disk, with their price."""
        return 0 if self.stored is None else int(np.count_nonzero(self.stored.seconds > 0))

    def take_owed_seconds(self, contended: bool) -> float:
        """The seconds owed since the last time. contended: other programs have disturbed what was computed since, so it is
        not to be charged to others."""
        if self.stored is not None and not contended:
            self.stored.confirm(np.flatnonzero(self._computed))
        self._computed[:] = False
        seconds, self.owed_seconds = self.owed_seconds, 0.0
        return seconds

    def _hidden(self, indices: np.ndarray, batch: Batch) -> torch.Tensor:
        if self.stored is None:
            return self.compute(batch)
        paid, known, timed = self._used[indices], self.stored.known(indices), self.stored.timed(indices)
        self._used[indices] = True
        self.owed_seconds += float(self.stored.seconds[indices[~paid & timed]].sum())
        compute = ~known | (~paid & ~timed)
        missing = indices[compute]
        if len(missing):
            part = batch if compute.all() else self.collator.batch(self.split, missing)
            watch = Stopwatch(self.device)
            self.stored.write(missing, self.compute(part))
            self.stored.price(missing, watch.lap())
            self._computed[missing] = True
            # what a resumed training had paid for before its activations were lost is paid once
            self.owed_seconds -= float(np.abs(self.stored.seconds[indices[compute & paid]]).sum())
        return self.stored.read(indices, batch.width).to(self.device, non_blocking=True)

    def compute(self, batch: Batch) -> torch.Tensor:
        """The activations of a batch, whatever is stored."""
        with causal_alone(batch):
            return self.frozen_layers.run(batch.to(self.device).inputs)


def live_source(train_state: TrainState, split: Split) -> Source | None:
    """A source that computes; None when the setup leaves no layers untouched."""
    return (
        None
        if train_state.frozen_layers is None
        else Source(train_state.frozen_layers, split, train_state.collator, train_state.device)
    )


def share(source: Source, train_state: TrainState, prepared: Path, name: str) -> None:
    """Let the source keep and find activations on disk, if there is room; name: of the split (train, dev)."""
    device, precision = source.device, str(train_state.choices["precision"])
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else torch.get_num_threads()
    weights = train_state.choices.get(WEIGHTS, "fp32")
    key = [prepared.name, source.frozen_layers.depth, train_state.method.quantization, weights, precision, device.type, where]
    lengths = np.minimum(source.split.lengths, source.collator.max_tokens)
    source.stored = open_activations(key, name, lengths, source.frozen_layers.width, STORED[precision])


def forward(model: torch.nn.Module, batch: Batch, frozen_layers: FrozenLayers | None = None) -> torch.Tensor:
    """The batch's logits, of shape (n, vocabulary) where only some are wanted; where the batch has the frozen layers'
    activations, the model computes the rest alone."""
    given = (
        contextlib.nullcontext()
        if frozen_layers is None or batch.activations is None
        else frozen_layers.given(batch.activations)
    )
    with given, causal_alone(batch), seen_by_head(model, kept_of(batch)):
        logits: torch.Tensor = model(**arguments(batch)).logits
    return logits
