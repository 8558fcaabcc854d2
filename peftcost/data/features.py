"""What examples become before they are batches: named columns of numbers, flat, so that they can be memory-mapped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike


@dataclass(frozen=True)
class Column:
    """One named input, or the targets, of n examples.

    values: flat; example i is values[offsets[i]:offsets[i + 1]]. Where offsets is None all examples have one shape, and
    example i is values[i].
    """

    values: np.ndarray
    offsets: np.ndarray | None = None

    def __getitem__(self, index: int) -> np.ndarray:
        """The numbers of one example."""
        row = self.values[index] if self.offsets is None else self.values[self.offsets[index] : self.offsets[index + 1]]
        return np.asarray(row)

    @property
    def sizes(self) -> np.ndarray:
        """How many numbers each example of a ragged column has, shape (n,)."""
        assert self.offsets is not None, "these examples have one shape"
        return np.diff(self.offsets)

    def first(self, n: int) -> Column:
        """The same of the first n examples."""
        return Column(self.values[:n]) if self.offsets is None else Column(self.values, self.offsets[: n + 1])

    def only(self, indices: np.ndarray) -> Column:
        """The same of these examples."""
        if self.offsets is None:
            return Column(self.values[indices])
        parts = [self.values[self.offsets[i] : self.offsets[i + 1]] for i in indices]
        return Column(np.concatenate(parts) if parts else self.values[:0], offsets_of(self.sizes[indices]))


@dataclass(frozen=True)
class Split:
    """The columns of n examples. lengths: what batches, activations and cost count (tokens of a text), shape (n,)."""

    columns: Mapping[str, Column]
    lengths: np.ndarray

    def __len__(self) -> int:
        return len(self.lengths)

    def first(self, n: int) -> Split:
        """The first n examples, or all that there are."""
        n = min(n, len(self))
        return Split({name: column.first(n) for name, column in self.columns.items()}, self.lengths[:n])

    def only(self, indices: np.ndarray) -> Split:
        """These examples."""
        return Split({name: column.only(indices) for name, column in self.columns.items()}, self.lengths[indices])


def ragged(rows: Sequence[Sequence[float]], dtype: DTypeLike = np.int32) -> Column:
    """A column of examples of different lengths."""
    flat = np.concatenate([np.asarray(row, dtype=dtype) for row in rows]) if rows else np.zeros(0, dtype)
    return Column(flat.astype(dtype), offsets_of([len(row) for row in rows]))


def zeros_of(sizes: np.ndarray) -> Column:
    """A ragged column of examples of these sizes that holds zeros alone."""
    return Column(np.zeros(int(sizes.sum()), np.int32), offsets_of(sizes))


def offsets_of(sizes: Sequence[int] | np.ndarray) -> np.ndarray:
    """Where examples of these sizes begin, and the last one ends, shape (n + 1,)."""
    return np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])


def padded(column: Column, indices: np.ndarray, width: int, fill: float) -> np.ndarray:
    """The examples of a ragged column side by side, shape (len(indices), width), cut and filled up on the right."""
    assert column.offsets is not None, "examples of one shape need no padding"
    starts = column.offsets[indices]
    real = np.arange(width) < (column.offsets[indices + 1] - starts)[:, None]
    dtype = np.int64 if np.issubdtype(column.values.dtype, np.integer) else column.values.dtype
    found = np.full(real.shape, fill, dtype=dtype)
    found[real] = column.values[(starts[:, None] + np.arange(width))[real]]
    return found
