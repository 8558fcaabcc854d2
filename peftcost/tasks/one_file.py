"""What all task types share that give a file, a picture or a sound, one of several classes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np

from peftcost.data.cells import LOOKED_AT, label_of
from peftcost.data.features import Column, Split
from peftcost.data.guess import LABEL_NAMES, SENTENCE, label_column
from peftcost.data.media import has_bytes, is_address, not_fetched
from peftcost.data.table import Table
from peftcost.errors import UserError
from peftcost.tasks.base import Example
from peftcost.tasks.one_class import OneClass, class_column
from peftcost.tasks.targets import Targets


class FileReader(Protocol):
    """Makes a base's inputs of files. input_name: what the model calls them. positions: that its layers hand on of one."""

    @property
    def input_name(self) -> str: ...

    @property
    def positions(self) -> int: ...

    def features(self, files: Sequence[str]) -> np.ndarray:
        """One input a file, all of one shape."""
        ...


class OneFile(OneClass):
    """Its examples hold, in the role of the input, the hash of what the file holds; and "file", where it is.

    files: what they are called. called: words that name a column of them.
    """

    files: ClassVar[str]
    called: ClassVar[tuple[str, ...]]

    def is_file(self, value: Any) -> bool:
        """Whether a cell holds such a file, or its path."""
        raise NotImplementedError

    def opened(self, values: Sequence[Any], places: Sequence[str], folder: Path) -> Sequence[Any]:
        """What these cells hold, each with a file and a digest. UserError with its place for the first that is missing or
        damaged."""
        raise NotImplementedError

    def told_of(self, one: Any) -> dict[str, Any]:
        """What an example tells of a file beside."""
        raise NotImplementedError

    @property
    def role(self) -> str:
        """Of the input."""
        return self.input_roles[0]

    def guess_columns(self, table: Table, label: str | None) -> dict[str, str] | None:
        columns = [name for name in table.columns if name != label and self.holds(table, name)]
        addresses = [name for name in table.columns if name != label and holds_all(table, name, is_address)]
        if not columns:
            self._check_not_elsewhere(table, addresses, label)
            return None
        if len(columns) > 1:  # data sets of the hub often name the file beside its bytes
            columns = [name for name in columns if all(map(has_bytes, cells(table, name)))] or columns
        if len(columns) > 1:
            raise UserError(
                f"{table.path} holds {self.files} in several columns ({', '.join(map(repr, columns))}); write a task.yaml "
                f"with `columns: {{{self.role}: …, label: …}}`."
            )
        others = [name for name in table.columns if name not in (label, *addresses) and not self.holds(table, name)]
        if label is None and len(others) == 1 and others[0].lower() not in LABEL_NAMES:
            label = others[0]
        return {self.role: columns[0], "label": label_column(table, label)}

    def _check_not_elsewhere(self, table: Table, addresses: Sequence[str], label: str | None) -> None:
        """UserError where addresses are those of such files, by their column's name or their own, and nothing else holds
        sentences."""
        elsewhere = [
            name
            for name in addresses
            if any(word in name.lower() for word in self.called) or holds_all(table, name, self.is_file)
        ]
        others = [name for name in table.columns if name not in (label, *addresses)]
        if elsewhere and not any(holds_sentences(table, name) for name in others):
            place, what = f"{table.path}, column {elsewhere[0]!r}", f"it holds addresses of {self.files}"
            instead = "; or name a column of texts in a task.yaml (`columns: {text: …, label: …}`)"
            raise not_fetched(place, what, self.files.removesuffix("s"), instead)

    def read(self, table: Table, columns: Mapping[str, str], labelled: bool = True) -> list[Example]:
        places = [f"{table.place(i)}, column {columns[self.role]!r}" for i in range(len(table.rows))]
        labels = [
            label_of(row.get(columns["label"]), f"{table.place(i)}, column {columns['label']!r}") if labelled else ""
            for i, row in enumerate(table.rows)
        ]
        path = Path(table.path)
        values = [row.get(columns[self.role]) for row in table.rows]
        seen = self.opened(values, places, path if path.is_dir() else path.parent)
        return [
            {
                self.role: one.digest,
                "file": one.file,
                **self.told_of(one),
                "place": table.place(i),
                **({"label": labels[i]} if labelled else {}),
            }
            for i, one in enumerate(seen)
        ]

    def content(self, example: Example) -> str:
        return str(example[self.role])

    def encode(self, processor: FileReader, examples: Sequence[Example], targets: Targets | None, max_length: int) -> Split:
        features = processor.features([e["file"] for e in examples])
        return Split(
            {processor.input_name: Column(features), "targets": class_column(examples, targets)},
            np.full(len(examples), processor.positions, dtype=np.int64),
        )

    def holds(self, table: Table, column: str) -> bool:
        """Whether the first cells that are there hold such files or their paths, and not addresses alone."""
        return holds_all(table, column, self.is_file) and not holds_all(table, column, is_address)


def holds_all(table: Table, column: str, is_one: Callable[[Any], bool]) -> bool:
    """Whether the first cells that are there are all such."""
    values = cells(table, column)
    return bool(values) and all(map(is_one, values))


def holds_sentences(table: Table, column: str) -> bool:
    """Whether the first cells are texts of several words: labels have one or two."""
    words = [len(value.split()) for value in cells(table, column) if isinstance(value, str)]
    return column.lower() not in LABEL_NAMES and bool(words) and float(np.mean(words)) >= SENTENCE


def cells(table: Table, column: str) -> list[Any]:
    """The first that are there."""
    return [value for row in table.rows[:LOOKED_AT] if (value := row.get(column)) is not None and value != ""]
