"""A column that is made in parts, and kept in a temporary file until it is read: it may be larger than the memory."""

from __future__ import annotations

import tempfile

import numpy as np

from peftcost.data.features import Column, offsets_of


class SpilledColumn:
    """A ragged column that grows. dtype: of its numbers."""

    def __init__(self, dtype: np.dtype) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  it is closed when it is mapped
        self._dtype = dtype
        self._sizes = [np.zeros(0, np.int64)]

    @property
    def sizes(self) -> np.ndarray:
        """How many numbers each example has, of all that are there so far, shape (n,)."""
        return np.concatenate(self._sizes)

    def add(self, column: Column) -> None:
        """The next examples."""
        self._file.write(np.ascontiguousarray(column.values, self._dtype).tobytes())
        self._sizes.append(column.sizes)

    def whole(self) -> Column:
        """All of it. The numbers are memory-mapped, and their file goes with them."""
        self._file.flush()
        empty = self._file.tell() == 0  # which cannot be mapped
        values = np.zeros(0, self._dtype) if empty else np.memmap(self._file, self._dtype, mode="r+")
        self._file.close()
        return Column(values, offsets_of(self.sizes))
