"""Cuts a delimited text into records that know their lines."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

LINE = re.compile(r"[^\r\n]*(?:\r\n?|\n)|[^\r\n]+")
MOST_RESTARTS = 200
"""Records with broken quotes after which a file is given up: behind each the rest is read again."""


@dataclass(frozen=True)
class Layout:
    """separator: one character. spaces_behind: whether spaces behind it are no part of the cell."""

    separator: str
    spaces_behind: bool


@dataclass(frozen=True, slots=True)
class Record:
    """first, last: its lines, counted from 1. problem: what is wrong with its quotes, if anything is."""

    first: int
    last: int
    cells: list[str]
    problem: str | None = None

    @property
    def blank(self) -> bool:
        """Whether its line holds nothing."""
        return (
            self.problem is None and self.first == self.last and not any(map(str.strip, self.cells)) and len(self.cells) < 2
        )


def physical_lines(text: str) -> list[str]:
    """The lines with their ends, which are LF, CR or both."""
    return LINE.findall(text)


def read_records(lines: Sequence[str], start: int, layout: Layout) -> Iterator[Record]:
    """The records behind the first `start` lines; behind one with broken quotes, the next line begins anew.

    The last of MOST_RESTARTS broken ones stands for the rest of the file.
    """
    for _ in range(MOST_RESTARTS):
        reader = csv.reader(
            iter(lines[start:]), delimiter=layout.separator, strict=True, skipinitialspace=layout.spaces_behind
        )
        before = 0
        try:
            for cells in reader:
                yield Record(start + before + 1, start + reader.line_num, cells)
                before = reader.line_num
            return
        except csv.Error as error:
            start += before + 1
            yield Record(start, start, [], str(error))
    yield Record(start + 1, len(lines), [], f"nor do those of {MOST_RESTARTS} rows before; the rest of the file is not read")


def plain_records(lines: Sequence[str], start: int, layout: Layout) -> list[Record] | None:
    """Each line as a record, quotes being characters like others; None if that makes no table, or quotes are used well."""
    records = []
    well = re.compile(rf'(^|{re.escape(layout.separator)})"[^"]*(""[^"]*)*"({re.escape(layout.separator)}|$)')
    for number, line in enumerate(lines[start:], start=start + 1):
        content = line.rstrip("\r\n")
        if well.search(content):
            return None
        records.append(Record(number, number, content.split(layout.separator) if content.strip() else []))
    widths = {len(record.cells) for record in records if record.cells}
    return records if len(widths) == 1 and widths != {1} else None
