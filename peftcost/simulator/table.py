"""A table of recorded trainings, which searches can be simulated on. docs/table.md describes its columns."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from peftcost.core.setup import Setup
from peftcost.core.statistics import MetricFunction, nested_sample, plain_value

ROW_WIDTH = 2
"""Columns of a recorded example: predicted and true class."""


@dataclass(frozen=True)
class Row:
    """One stop of one lineage with one seed. dev_rows, test_rows: shape (n, 2)."""

    setup: Setup
    seed: int
    quality: float
    train_loss: float
    dev_loss: float
    gpu_seconds: float
    startup_seconds: float
    evaluation_seconds: float
    peak_bytes: int
    process_peak_bytes: int
    dev_rows: np.ndarray
    test_rows: np.ndarray


@dataclass(frozen=True)
class Table:
    """rows, by setup id and seed."""

    rows: dict[tuple[str, int], Row]

    @cached_property
    def stops(self) -> list[int]:
        return sorted({row.setup.stop_examples for row in self.rows.values()})

    @cached_property
    def dev_size(self) -> int:
        """Examples of the whole dev set."""
        return max(len(row.dev_rows) for row in self.rows.values())

    @cached_property
    def early_size(self) -> int:
        """Dev examples that every row has."""
        return min(len(row.dev_rows) for row in self.rows.values())

    @cached_property
    def lineages(self) -> dict[str, Setup]:
        """Each lineage's longest setup."""
        found: dict[str, Setup] = {}
        for row in sorted(self.rows.values(), key=lambda row: row.setup.stop_examples):
            found[row.setup.lineage] = row.setup
        return found

    @cached_property
    def total_gpu_seconds(self) -> float:
        """Of training every lineage once to its longest stop."""
        return sum(self.cost(setup) for setup in self.lineages.values())

    def seeds(self, setup_id: str) -> list[int]:
        return sorted(seed for found, seed in self.rows if found == setup_id)

    def cost(self, setup: Setup) -> float:
        """Mean gpu_seconds over the recorded seeds."""
        return float(np.mean([self.rows[setup.id, seed].gpu_seconds for seed in self.seeds(setup.id)]))

    def truth(self, setup_id: str, metric: MetricFunction) -> float:
        """Mean quality on the test rows over the recorded seeds, the first left out where there are others: a search has
        seen that one."""
        seeds = self.seeds(setup_id)
        return float(np.mean([plain_value(self.rows[setup_id, seed].test_rows, metric) for seed in seeds[1:] or seeds]))


def read_table(path: Path) -> Table:
    """Read a table from Parquet."""
    import pyarrow.parquet as pq

    rows = [_row(raw) for raw in pq.read_table(path).to_pylist()]
    return Table({(row.setup.id, row.seed): row for row in rows})


def _row(raw: dict[str, Any]) -> Row:
    same = ("seed", "quality", "train_loss", "dev_loss", "gpu_seconds", "startup_seconds", "evaluation_seconds")
    return Row(
        setup=Setup(raw["method"], json.loads(raw["hyperparameters"]), raw["stop_examples"]),
        **{name: raw[name] for name in (*same, "peak_bytes", "process_peak_bytes")},
        dev_rows=_examples(raw["dev_rows"]),
        test_rows=_examples(raw["test_rows"]),
    )


def _examples(raw: bytes) -> np.ndarray:
    return np.frombuffer(raw, dtype=np.int8).reshape(-1, ROW_WIDTH).astype(np.float32)


@dataclass(frozen=True)
class DevSet:
    """A dev set of n of the table's examples, and which of them exploring predicts.

    chosen: positions in the table's dev set, such that those which `nested_sample` names are in the sample that every row
    of the table has.
    """

    table: Table
    chosen: np.ndarray
    sample: int | None

    def rows(self, row: Row, all_of_dev: bool) -> np.ndarray:
        """What a trial with this row predicted of the dev set, or of the sample. KeyError when the table does not say."""
        positions = self.chosen if all_of_dev else self.chosen[nested_sample(len(self.chosen), self.sample)]
        if len(row.dev_rows) == self.table.dev_size:
            return row.dev_rows[positions]
        early = nested_sample(self.table.dev_size, len(row.dev_rows))
        at = np.searchsorted(early, positions)
        if not np.array_equal(early[np.minimum(at, len(early) - 1)], positions):
            raise KeyError(f"{row.setup.id} was not recorded on all of dev")
        return row.dev_rows[at]


def draw_dev_set(table: Table, size: int, random: np.random.Generator) -> DevSet:
    """A random dev set of this size; when it is larger than what every row has, exploring sees a sample of it."""
    early = nested_sample(table.dev_size, table.early_size)
    if size <= len(early):
        return DevSet(table, np.sort(random.choice(early, size, replace=False)), None)
    others = np.setdiff1d(np.arange(table.dev_size), early)
    chosen = np.empty(size, dtype=np.int64)
    sampled = nested_sample(size, len(early))
    chosen[sampled] = early
    chosen[np.setdiff1d(np.arange(size), sampled)] = random.choice(others, size - len(early), replace=False)
    return DevSet(table, chosen, len(early))


def nearest(lineages: Sequence[Setup], choices: dict[str, Any], space: dict[str, Any]) -> Setup | None:
    """The recorded lineage whose choices are nearest to these; None without any. Numbers count by their place in the
    space (by logarithm where it is searched so), others as the same or not."""

    def distance(setup: Setup) -> float:
        return sum(_apart(setup.hyperparameters[name], choices[name], space[name]) for name in space)

    return min(lineages, key=lambda setup: (distance(setup), setup.id), default=None)


def _apart(a: Any, b: Any, distribution: Any) -> float:
    if not hasattr(distribution, "low"):
        return float(a != b)
    low, high = float(distribution.low), float(distribution.high)
    if getattr(distribution, "log", False):
        a, b, low, high = np.log([a, b, low, high])
    return abs(float(a) - float(b)) / (high - low)
