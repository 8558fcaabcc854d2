"""A table of recorded trainings, which searches can be simulated on. docs/benchmarks/table.md describes its columns."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from peftcost.core.setup import Scalar, Setup
from peftcost.core.statistics import nested_sample, plain_value
from peftcost.methods.encoding import Space, encode
from peftcost.searcher.config import DEFAULT_CONFIG, SearchConfig
from peftcost.simulator.recorded import register_recorded
from peftcost.tasks import Metric, task_types

ROW_WIDTH = 2
"""Numbers of a recorded example where the table does not say: predicted and true class."""


@dataclass(frozen=True)
class Record:
    """One stop of one lineage with one seed. examples: what the metric is computed from, shape (n, k); every record has
    the same examples, of dev and test."""

    setup: Setup
    seed: int
    train_loss: float
    dev_loss: float
    gpu_seconds: float
    startup_seconds: float
    evaluation_seconds_per_example: float
    peak_bytes: int
    process_peak_bytes: int
    examples: np.ndarray


@dataclass(frozen=True)
class RecordedTable:
    """records: by setup id and seed. metric: of the task. layers, total_parameters: of the base, 0 if not known."""

    records: dict[tuple[str, int], Record]
    metric: Metric
    layers: int = 0
    total_parameters: int = 0

    @cached_property
    def stops(self) -> list[int]:
        return sorted({record.setup.stop_examples for record in self.records.values()})

    @cached_property
    def size(self) -> int:
        """Recorded examples."""
        return len(next(iter(self.records.values())).examples)

    @cached_property
    def lineages(self) -> dict[str, Setup]:
        """Each lineage's longest setup."""
        found: dict[str, Setup] = {}
        for record in sorted(self.records.values(), key=lambda record: record.setup.stop_examples):
            found[record.setup.lineage] = record.setup
        return found

    @cached_property
    def total_gpu_seconds(self) -> float:
        """Of training every lineage once to its longest stop."""
        return sum(self.cost(setup) for setup in self.lineages.values())

    @cached_property
    def _seeds(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for setup_id, seed in sorted(self.records):
            found.setdefault(setup_id, []).append(seed)
        return found

    def seeds(self, setup_id: str) -> list[int]:
        return self._seeds.get(setup_id, [])

    @cached_property
    def all_seeds(self) -> list[int]:
        """That any setup is recorded with."""
        return sorted({seed for _, seed in self.records})

    def cost(self, setup: Setup) -> float:
        """Mean gpu_seconds over the recorded seeds."""
        return float(np.mean([self.records[setup.id, seed].gpu_seconds for seed in self.seeds(setup.id)]))

    def truth(self, setup_id: str) -> float:
        """Mean quality on all recorded examples over the recorded seeds."""
        compute = self.metric.compute
        return float(np.mean([plain_value(self.records[setup_id, s].examples, compute) for s in self.seeds(setup_id)]))


def read_table(path: Path) -> RecordedTable:
    """Read a table from Parquet."""
    import pyarrow.parquet as pq

    return table_of(pq.read_table(path).to_pylist())


def table_of(raw: Sequence[Mapping[str, Any]]) -> RecordedTable:
    """The table of these rows; of examples it keeps those that every row has. A method that peftcost does not have is known
    from then on, by its recorded setups."""
    fewest = {name: min(len(record[name]) // width_of(record) for record in raw) for name in ("dev_rows", "test_rows")}
    rows = [_record(one, fewest) for one in raw]
    register_recorded([record.setup for record in rows])
    base = {name: max(record.get(name) or 0 for record in raw) for name in ("layers", "total_parameters")}
    return RecordedTable({(record.setup.id, record.seed): record for record in rows}, metric_of(raw), **base)


def metric_of(raw: Sequence[Mapping[str, Any]]) -> Metric:
    """The metric that the rows name, accuracy where they name none."""
    name = next((record["metric"] for record in raw if record.get("metric")), "accuracy")
    return next(kind.metrics[name] for kind in task_types().values() if name in kind.metrics)


def width_of(raw: Mapping[str, Any]) -> int:
    """How many numbers an example has."""
    return raw.get("row_width") or ROW_WIDTH


def _record(raw: Mapping[str, Any], fewest: Mapping[str, int]) -> Record:
    same = ("seed", "train_loss", "dev_loss", "gpu_seconds", "startup_seconds", "peak_bytes", "process_peak_bytes")
    seen = {name: np.frombuffer(raw[name], dtype=np.int8).reshape(-1, width_of(raw)) for name in fewest}
    return Record(
        setup=Setup(raw["method"], json.loads(raw["hyperparameters"]), raw["stop_examples"]),
        **{name: raw[name] for name in same},
        evaluation_seconds_per_example=raw["evaluation_seconds"] / len(seen["dev_rows"]),
        examples=np.concatenate([of[nested_sample(len(of), fewest[name])] for name, of in seen.items()]).astype(np.float32),
    )


@dataclass(frozen=True)
class Replay:
    """What chance decides in a replay: the dev set, and what each training with a new seed shows.

    Both are drawn with replacement from what is recorded, as if that were all that there is. So a setup's truth is known,
    and what a search reads of it errs as a dev set of that size and so many seeds do.

    chosen: positions of the dev set's examples. sample: how many of them exploring sees, None for all. luck: decides the
    seeds. config: tells fresh seeds from others.
    """

    table: RecordedTable
    chosen: np.ndarray
    sample: int | None
    replay_seed: int
    config: SearchConfig = DEFAULT_CONFIG

    def record(self, setup: Setup, seed: int) -> Record | None:
        """What training the setup with this seed shows: the same recorded seed at every stop of the lineage, and for all
        setups that have it, since seeds do some things to all alike. None for what the table does not have, and for a fresh
        seed of what it has once."""
        recorded = self.table.seeds(setup.id)
        if not recorded or (seed >= self.config.first_confirm_seed and len(recorded) == 1):
            return None
        order = np.random.default_rng([self.replay_seed, seed]).permutation(self.table.all_seeds).tolist()
        return self.table.records[setup.id, min(recorded, key=order.index)]

    def seen(self, record: Record, all_of_dev: bool) -> np.ndarray:
        """What a training that shows this row predicted of the dev set, or of the sample."""
        positions = self.chosen if all_of_dev else self.chosen[nested_sample(len(self.chosen), self.sample)]
        return np.asarray(record.examples[positions])


def draw_replay(
    table: RecordedTable, dev_size: int, random: np.random.Generator, config: SearchConfig = DEFAULT_CONFIG
) -> Replay:
    """With a dev set of this size, of which exploring sees a sample, as in a search."""
    chosen, replay_seed = random.integers(0, table.size, dev_size), int(random.integers(2**32))
    sample = config.explore_dev_rows if dev_size > config.explore_dev_rows else None
    return Replay(table, chosen, sample, replay_seed, config)


def nearest(lineages: Sequence[Setup], choices: Mapping[str, Scalar], space: Space) -> Setup | None:
    """The recorded lineage whose choices are nearest to these; None without any."""
    wanted = encode(choices, space)

    def apart(setup: Setup) -> tuple[float, str]:
        return float(np.linalg.norm(encode(setup.hyperparameters, space) - wanted)), setup.id

    return min(lineages, key=apart, default=None)
