"""Finds the quoted cell that holds whole rows, because a stray quote opened it and another one closed it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from peftcost.data.readers.records import Layout, Record

FEW_VALUES = 0.25
"""A column with at most this many different values a row holds classes."""
ROWS_IN_A_ROW = 3
"""Lines of a cell that each look like a row; fewer may be chance."""


def swallowing(records: Sequence[Record], lines: Sequence[str], layout: Layout) -> list[Record]:
    """The records over several lines of which each line could be a row of its own.

    A line could be one if it has as many cells as the header, and in columns of classes or numbers a class or a number.
    """
    header, *rows = records
    width = len(header.cells)
    spread = [record for record in rows if record.last > record.first]
    single = [record.cells for record in rows if record.last == record.first and len(record.cells) == width]
    if not spread or not single:
        return []
    if width == 1:
        return _only_quoted(spread, single, lines)
    checks = [_check([cells[i].strip() for cells in single]) for i in range(width)]
    typed = any(check is not None for check in checks)
    found = []
    for record in spread:
        parts = [lines[n].rstrip("\r\n").split(layout.separator) for n in range(record.first - 1, record.last)]
        fits = all(len(cells) == width and _suits(cells, checks) for cells in parts)
        if fits and (typed or layout.separator == "\t" or len(parts) >= ROWS_IN_A_ROW):
            found.append(record)
    return found


def _only_quoted(spread: Sequence[Record], single: Sequence[Sequence[str]], lines: Sequence[str]) -> list[Record]:
    """In a file of one column: the one quoted cell of the file, if its lines are no longer than other rows."""
    quoted = sum(line.lstrip().startswith('"') for line in lines)
    record = spread[0]
    parts = [lines[n].strip() for n in range(record.first - 1, record.last)]
    longest = max(len(cells[0]) for cells in single)
    alone = len(spread) == 1 and quoted == 1 and len(parts) >= ROWS_IN_A_ROW
    return [record] if alone and all(part and len(part) <= longest + 2 for part in parts) else []


def _check(values: Sequence[str]) -> Callable[[str], bool] | None:
    """What a value of this column has to be, or None where any text will do."""
    known = set(values)
    if len(known) <= max(1, FEW_VALUES * len(values)):
        return known.__contains__
    return _is_number if all(map(_is_number, values)) else None


def _suits(cells: Sequence[str], checks: Sequence[Callable[[str], bool] | None]) -> bool:
    return all(check is None or check(cell.strip().strip('"')) for cell, check in zip(cells, checks, strict=True))


def _is_number(value: str) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True
