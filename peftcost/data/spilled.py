"""A column that is made in parts, and kept in a temporary file until it is read: it may be larger than the memory."""

from __future__ import annotations

import tempfile

import numpy as np

from peftcost.data.features import Column


class SpilledColumn:
    """A ragged column that grows. Its numbers are all of the type of the first ones."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  it is closed when it is mapped
        self._dtype: np.dtype | None = None
        self._sizes = [np.zeros(0, np.int64)]

    @property
    def sizes(self) -> np.ndarray:
        """How many numbers each example has, of all that are there so far, shape (n,)."""
        return np.concatenate(self._sizes)

    def add(self, column: Column) -> None:
        """The next examples."""
        self._dtype = self._dtype or column.values.dtype
        self._file.write(np.ascontiguousarray(column.values, self._dtype).tobytes())
        self._sizes.append(column.sizes)

    def zeros(self) -> Column:
        """Zeros for all that are there so far."""
        return Column(np.zeros(int(self.sizes.sum()), np.int32), offsets_of(self.sizes))

    def whole(self) -> Column:
        """All of it. The numbers are memory-mapped, and their file goes with them."""
        self._file.flush()
        empty = self._file.tell() == 0  # which cannot be mapped
        values = np.zeros(0, self._dtype) if empty else np.memmap(self._file, self._dtype or np.int32, mode="r+")
        self._file.close()
        return Column(values, offsets_of(self.sizes))


def offsets_of(sizes: np.ndarray) -> np.ndarray:
    """Where examples of these sizes begin, and the last one ends, shape (n + 1,)."""
    return np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
