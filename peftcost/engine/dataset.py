"""Tokenized data on disk: written once, memory-mapped by every worker."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file, save_file

from peftcost.tasks import TaskType, get_task_type

WINDOW_BATCHES = 50
"""Batches by length within a shuffled window of this many: 95-100 % of no padding at all, still shuffled."""


@dataclass(frozen=True)
class Split:
    """Token ids and targets of n examples, flat: example i is ids[offsets[i]:offsets[i + 1]]."""

    ids: np.ndarray
    offsets: np.ndarray
    targets: np.ndarray
    target_offsets: np.ndarray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @cached_property
    def lengths(self) -> np.ndarray:
        """Tokens per example, shape (n,)."""
        return np.diff(self.offsets)

    def example(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        return (
            self.ids[self.offsets[index] : self.offsets[index + 1]],
            self.targets[self.target_offsets[index] : self.target_offsets[index + 1]],
        )


@dataclass(frozen=True)
class DatasetInfo:
    """What workers know of a task: everything that is not in the splits.

    max_positions: the longest input that the model takes; max_length: where this task's inputs are cut.
    """

    model: str
    task: str
    metric: str
    labels: list[str]
    pad_id: int
    max_positions: int
    max_length: int

    @property
    def task_type(self) -> TaskType:
        return get_task_type(self.task)

    @property
    def auto_model(self) -> str:
        return self.task_type.auto_model


@dataclass(frozen=True)
class Batch:
    """Tensors of one forward pass.

    inputs: keyword arguments of the model, each of shape (rows, width). targets: as the task has them. activations: of the
    frozen layers, shape (rows, width, hidden), where they need not be computed.
    """

    inputs: dict[str, torch.Tensor]
    targets: torch.Tensor
    activations: torch.Tensor | None = None

    @property
    def rows(self) -> int:
        return int(self.inputs["input_ids"].shape[0])

    @property
    def width(self) -> int:
        return int(self.inputs["input_ids"].shape[1])

    def to(self, device: torch.device) -> Batch:
        """The same on a device. Activations are where the model is."""
        inputs = {name: tensor.to(device, non_blocking=True) for name, tensor in self.inputs.items()}
        return replace(self, inputs=inputs, targets=self.targets.to(device, non_blocking=True))


def make_split(ids: Sequence[Sequence[int]], targets: Sequence[Sequence[int]]) -> Split:
    """A split from ragged lists."""
    return Split(*_flatten(ids), *_flatten(targets))


def _flatten(rows: Sequence[Sequence[int]]) -> tuple[np.ndarray, np.ndarray]:
    offsets = np.zeros(len(rows) + 1, dtype=np.int64)
    np.cumsum([len(row) for row in rows], out=offsets[1:])
    flat = np.concatenate([np.asarray(row, dtype=np.int32) for row in rows]) if rows else np.zeros(0, np.int32)
    return flat.astype(np.int32), offsets


def save_prepared(folder: Path, splits: dict[str, Split], info: DatasetInfo) -> None:
    """Write splits and what is known about them; written aside and renamed, so that a reader never sees half."""
    aside = folder.with_name(f"{folder.name}.{uuid.uuid4().hex[:8]}")
    aside.mkdir(parents=True)
    for name, split in splits.items():
        save_file(
            {field.name: np.ascontiguousarray(getattr(split, field.name)) for field in fields(split)},
            aside / f"{name}.safetensors",
        )
    (aside / "dataset_info.json").write_text(json.dumps(asdict(info), ensure_ascii=False), encoding="utf-8")
    try:
        os.replace(aside, folder)
    except OSError:  # somebody else has just written the same
        shutil.rmtree(aside, ignore_errors=True)


def load_dataset_info(folder: Path) -> DatasetInfo:
    return DatasetInfo(**json.loads((folder / "dataset_info.json").read_text(encoding="utf-8")))


def load_split(folder: Path, name: str) -> Split:
    return Split(**load_file(folder / f"{name}.safetensors"))


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


def collate(
    split: Split, indices: Sequence[int] | np.ndarray, pad_id: int, task_type: TaskType, limit: int, width: int = 0
) -> Batch:
    """Pad the examples to the longest of them, or to `width` where that is more, cut to `limit` tokens."""
    chosen = np.asarray(indices)
    starts, lengths = split.offsets[chosen], split.lengths[chosen]
    width = min(limit, max(width, int(lengths.max())))
    real = np.arange(width) < lengths[:, None]
    input_ids = np.full(real.shape, pad_id, dtype=np.int64)
    input_ids[real] = split.ids[(starts[:, None] + np.arange(width))[real]]
    targets = task_type.collate_targets([split.example(int(i))[1].tolist() for i in chosen], width)
    inputs = {"input_ids": torch.from_numpy(input_ids), "attention_mask": torch.from_numpy(real.astype(np.int64))}
    return Batch(inputs, targets)


@dataclass(frozen=True)
class Collator:
    """What is needed to turn a split into batches for one model."""

    task_type: TaskType
    labels: Sequence[str]
    pad_id: int
    max_tokens: int

    def batch(self, split: Split, indices: Sequence[int] | np.ndarray, width: int = 0) -> Batch:
        return collate(split, indices, self.pad_id, self.task_type, self.max_tokens, width)


def padded_tokens(split: Split, batches: list[np.ndarray]) -> int:
    """Tokens that the batches cost, padding included."""
    return sum(len(indices) * int(split.lengths[indices].max()) for indices in batches)
