"""Tokenized data on disk: written once, memory-mapped by every worker."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from peftcost.data.features import Column, Split
from peftcost.engine.asked import Asked
from peftcost.tasks import TaskType, get_task_type
from peftcost.tasks.batch import Batch
from peftcost.tasks.targets import Targets, targets_from

WINDOW_BATCHES = 50
"""Batches by length within a shuffled window of this many: 95-100 % of no padding at all, still shuffled."""


@dataclass(frozen=True)
class DatasetInfo:
    """What workers know of a task: everything that is not in the splits.

    padding: the processor's numbers that batches need. max_positions: the longest input that the model takes; max_length:
    where this task's inputs are cut; cut_share: of the training examples, those that are longer.
    metric_options: as a `Metric` has them.
    """

    model: str
    task: str
    metric: str
    targets: Targets
    padding: Mapping[str, float]
    max_positions: int
    max_length: int
    cut_share: float = 0.0
    metric_options: Mapping[str, Any] | None = None

    @property
    def task_type(self) -> TaskType:
        return get_task_type(self.task)

    def as_dict(self) -> dict[str, Any]:
        """As JSON holds it; `from_dict` reads it."""
        return {**asdict(self), "targets": self.targets.as_dict()}

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> DatasetInfo:
        return cls(**{**raw, "targets": targets_from(raw["targets"])})


def save_prepared(folder: Path, splits: dict[str, Split], info: DatasetInfo, asked: Asked | None = None) -> None:
    """Write splits, what is known about them, and what is to be answered; written aside and renamed, so that a reader never
    sees half."""
    aside = folder.with_name(f"{folder.name}.{uuid.uuid4().hex[:8]}")
    aside.mkdir(parents=True)
    for name, split in splits.items():
        save_file({key: np.ascontiguousarray(array) for key, array in _arrays(split).items()}, aside / f"{name}.safetensors")
    (aside / "dataset_info.json").write_text(json.dumps(info.as_dict(), ensure_ascii=False), encoding="utf-8")
    if asked is not None:
        asked.save(aside)
    try:
        os.replace(aside, folder)
    except OSError:  # somebody else has just written the same
        shutil.rmtree(aside, ignore_errors=True)


def load_dataset_info(folder: Path) -> DatasetInfo:
    return DatasetInfo.from_dict(json.loads((folder / "dataset_info.json").read_text(encoding="utf-8")))


def load_split(folder: Path, name: str) -> Split:
    """Memory-mapped, by torch: safetensors' arrays of numpy are copies."""
    from safetensors.torch import load_file  # imports torch, which not all who import this module need

    arrays = {key: tensor.numpy() for key, tensor in load_file(folder / f"{name}.safetensors").items()}
    names = [key.removesuffix("/values") for key in arrays if key.endswith("/values")]
    columns = {column: Column(arrays[f"{column}/values"], arrays.get(f"{column}/offsets")) for column in names}
    return Split(columns, arrays["lengths"])


def _arrays(split: Split) -> dict[str, np.ndarray]:
    """A split as `load_split` reads it."""
    found = {"lengths": split.lengths}
    for name, column in split.columns.items():
        found[f"{name}/values"] = column.values
        if column.offsets is not None:
            found[f"{name}/offsets"] = column.offsets
    return found


def batches_of_epoch(lengths: np.ndarray, batch_size: int, seed: int, epoch: int) -> list[np.ndarray]:
    """The epoch's batches as index arrays, a function of seed and epoch alone, so that any step can be found again.

    Examples are shuffled, sorted by length within windows of `WINDOW_BATCHES` batches, cut into batches, and those
    are shuffled within their window. The partial batch, if any, comes last.
    """
    random = np.random.default_rng([seed, epoch])
    order = random.permutation(len(lengths))
    whole = len(order) // batch_size * batch_size
    batches: list[np.ndarray] = []
    window_rows = WINDOW_BATCHES * batch_size
    for start in range(0, whole, window_rows):
        window = order[start : min(start + window_rows, whole)]
        window = window[np.argsort(lengths[window], kind="stable")]
        cut = np.split(window, len(window) // batch_size)
        batches += [cut[i] for i in random.permutation(len(cut))]
    if whole < len(order):
        batches.append(order[whole:])
    return batches


def batches_from(lengths: np.ndarray, batch_size: int, seed: int, step: int) -> Iterator[np.ndarray]:
    """The endless stream of batches from optimizer step number `step` on."""
    epoch, skip = divmod(step, -(-len(lengths) // batch_size))
    while True:
        yield from batches_of_epoch(lengths, batch_size, seed, epoch)[skip:]
        epoch, skip = epoch + 1, 0


def batches_ahead(lengths: np.ndarray, batch_size: int, seed: int, step: int, most: int) -> list[np.ndarray]:
    """As many batches as an epoch has, from this step on; at most so many."""
    return list(islice(batches_from(lengths, batch_size, seed, step), min(most, -(-len(lengths) // batch_size))))


def micro_batches(indices: np.ndarray, rows: int) -> list[np.ndarray]:
    return [indices[start : start + rows] for start in range(0, len(indices), rows)]


@dataclass(frozen=True)
class Collator:
    """What is needed to turn a split into batches for one model."""

    task_type: TaskType
    targets: Targets
    padding: Mapping[str, float]
    max_tokens: int

    def batch(self, split: Split, indices: Sequence[int] | np.ndarray, width: int = 0) -> Batch:
        """These examples, padded to the longest of them or to `width`, on the CPU."""
        return self.task_type.collate(split, np.asarray(indices), self.padding, self.max_tokens, width)

    def two_rows(self, config: Any) -> Batch:
        """A dummy batch for the model of this configuration, to try how it computes; on the CPU."""
        return self.task_type.two_rows(config, self.targets)


def padded_tokens(split: Split, batches: list[np.ndarray]) -> int:
    """Tokens that the batches cost, padding included."""
    return sum(len(indices) * int(split.lengths[indices].max()) for indices in batches)
