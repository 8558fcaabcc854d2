"""What a worker is asked to do, as plain values that travel as JSON. Free of torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Protocol

from peftcost.core.setup import ATTENTION, Setup
from peftcost.engine.messages import Progress
from peftcost.task.task import Task


class Reporter(Protocol):
    """How running work speaks to the runner."""

    def phase(self, category: str) -> None:
        """From now on the device's time belongs to this category of the ledger."""

    def progress(self, progress: Progress) -> None:
        """How far the training is."""

    def predicted(self, peak_bytes: int) -> None:
        """What an estimate says of the memory, before the training starts."""


class NullReporter:
    """Nobody listens."""

    def phase(self, category: str) -> None: ...

    def progress(self, progress: Progress) -> None: ...

    def predicted(self, peak_bytes: int) -> None: ...


@dataclass(frozen=True)
class TrainJob:
    """Train one setup with one seed.

    prepared: folder of tokenized data. out: folder for artifact, dev rows and checkpoints.
    parent: checkpoint folder of a shorter stop of the same lineage and seed to go on from, or None.
    checkpoint_seconds: how often an interrupted training can be resumed.
    early_stopping_patience: for production: stop when dev quality has not risen for this many evaluations
    (about eight an epoch); None trains to the stop.
    dev_rows: how many dev examples are predicted, a sample that grows with it; None for all. train_rows: the same of the
    examples that are trained on.
    memory_bytes: what the device has, 0 if unknown. rehearse: predict the memory first, and do not start what cannot fit.
    predicted_peak_bytes: what it is known to take, 0 if unknown. whole: write the artifact in the library's own format; else
    what was trained, which takes less room. ranks: how many processes train it together, each with a model of its own and its
    share of every batch. attentions: other ways to compute attention than transformers' choice that a probe is to time, with
    the peak_bytes of each.
    """

    prepared: str
    setup: Setup
    seed: int
    out: str
    parent: str | None = None
    checkpoint_seconds: float = 60.0
    early_stopping_patience: int | None = None
    dev_rows: int | None = None
    train_rows: int | None = None
    memory_bytes: int = 0
    estimate_step: bool = False
    predicted_peak_bytes: int = 0
    whole: bool = True
    ranks: int = 1
    attentions: Mapping[str, int] = field(default_factory=dict)

    def with_attention(self, name: str | None) -> TrainJob:
        """With the one of its `attentions` that is fastest, None for transformers' choice; nothing is left to time."""
        if name is None:
            return replace(self, attentions={})
        setup = replace(self.setup, hyperparameters={**self.setup.hyperparameters, ATTENTION: name})
        return replace(self, setup=setup, predicted_peak_bytes=self.attentions[name], attentions={})

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "setup": self.setup.as_dict()}

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> TrainJob:
        return cls(**{**raw, "setup": Setup.from_dict(raw["setup"])})


def prepare_payload(task: Task, seed: int, model: str, model_fingerprint: str) -> dict[str, Any]:
    """What a worker needs to tokenize a task's data. model: the resolved folder."""
    return {
        "task": task.model_dump(mode="json"),
        "seed": seed,
        "model": model,
        "model_fingerprint": model_fingerprint,
    }
