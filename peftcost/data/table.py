"""Rows of a file that still know their line, so that every complaint can name one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from peftcost.errors import UserError

JOINTS = ("|", ";", ",")
"""What stands between the items that a cell holds, the least usual within an item first."""


@dataclass(frozen=True)
class Table:
    """Rows of a file. lines[i]: where row i begins, counted from 1, in `unit`s ("line" of a text file, or "row").

    notes: what the reader found out for itself and the user should be told. rejected: rows that cannot be read and were
    left out, one sentence each. whole: the table that these rows were taken from, if any. gathered_by: the column that told
    which lines of the file are one row, if one did.
    """

    path: str
    columns: list[str]
    rows: list[dict[str, Any]]
    lines: list[int]
    unit: str = "line"
    notes: list[str] = field(default_factory=list)
    rejected: list[str] = field(default_factory=list)
    whole: Table | None = None
    gathered_by: str | None = None

    @cached_property
    def joints(self) -> dict[str, str]:
        """For columns of texts that may be joined items: the first of JOINTS that stands in any cell of the file."""
        if self.whole is not None:
            return self.whole.joints
        found = {}
        for name in self.columns:
            cells = [cell for row in self.rows if isinstance(cell := row.get(name), str)]
            joint = next((joint for joint in JOINTS if any(joint in cell for cell in cells)), None)
            if joint is not None:
                found[name] = joint
        return found

    @cached_property
    def found_out(self) -> dict[Any, Any]:
        """What a task type has found out about the whole file, for all tables of its rows."""
        return {} if self.whole is None else self.whole.found_out

    @property
    def listed(self) -> str:
        """The columns' names, for messages."""
        return ", ".join(map(repr, self.columns))

    def place(self, i: int) -> str:
        """Where row i stands, for messages: "reviews.csv, line 7"."""
        return f"{self.path}, {self.unit} {self.lines[i]}"

    def only(self, indices: Sequence[int]) -> Table:
        """The table of these rows."""
        rows, lines = [self.rows[i] for i in indices], [self.lines[i] for i in indices]
        return Table(self.path, self.columns, rows, lines, self.unit, self.notes, self.rejected, self.whole or self)


@dataclass(frozen=True)
class Rejects:
    """What becomes of a row that cannot be used: it is an error, or it is told and left out."""

    skip: bool = False
    told: list[str] = field(default_factory=list)

    def __call__(self, problem: str) -> None:
        """problem: one sentence with file and line. UserError with it unless bad rows are skipped."""
        if not self.skip:
            raise UserError(problem)
        self.told.append(problem)
