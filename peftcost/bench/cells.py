"""What a comparison is made of: tasks, contenders, the trainings, and what each contender reached in each task."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class BenchTask:
    """A task on one base. split: whose rows the qualities are of; rows: how many these are."""

    name: str
    kind: str
    model: str
    metric: str
    margin: float
    train_rows: int
    split: str
    rows: int


@dataclass(frozen=True)
class Contender:
    """What is compared over the tasks: a setup, or the best that a search found of a method. name: for people."""

    key: str
    name: str
    method: str


@dataclass(frozen=True)
class Training:
    """One setup trained in one task with one seed. reason: why it has no figures."""

    task: str
    contender: str
    method: str
    setup: str
    id: str
    seed: int
    stop_examples: int | None
    reason: str | None = None
    quality: float | None = None
    gpu_seconds: float | None = None
    peak_bytes: int | None = None
    latency_seconds: float | None = None
    artifact_bytes: int | None = None
    trainable_parameters: int | None = None
    contended: bool = False


@dataclass(frozen=True)
class Cell:
    """What a contender reached in a task, over its seeds. values: the bootstrap's draws of its quality, shape (B,), paired
    with those of the task's other contenders; limits: of the metric. Figures that nobody measured are None."""

    quality: float
    values: np.ndarray
    gpu_seconds: float | None
    peak_bytes: float | None
    latency_seconds: float | None
    seeds: int
    setup: str = ""
    limits: tuple[float, float] = (-math.inf, math.inf)

    @property
    def interval(self) -> tuple[float, float]:
        """95 %."""
        low, high = np.clip(np.quantile(self.values, [0.025, 0.975]), *self.limits)
        return float(low), float(high)


Cells = Mapping[tuple[str, str], Cell]
"""By task and contender, by their names."""


@dataclass(frozen=True)
class Comparison:
    """All that is compared. source: where the figures come from, for people; facts: device, versions, budget, command."""

    title: str
    source: str
    tasks: Sequence[BenchTask]
    contenders: Sequence[Contender]
    trainings: Sequence[Training]
    cells: Cells
    facts: Mapping[str, Any] = field(default_factory=dict)


def mean_of(values: Sequence[float | None]) -> float | None:
    """None where any is missing."""
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known and len(known) == len(values) else None
