"""Numbers as people write them: 3.5 or 3,5, and 1,234.5 or 1.234,5; one way holds for a whole column."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from peftcost.data.cells import is_blank, mostly, number_of
from peftcost.data.table import Table
from peftcost.errors import UserError

WITH_POINT = re.compile(r"[-+]?(?=\.?\d)(\d+|[1-9]\d{0,2}(,\d{3})+)?(\.\d*)?([eE][-+]?\d+)?")
WITH_COMMA = re.compile(r"[-+]?(\d+|[1-9]\d{0,2}(\.\d{3})+)(,\d+)?")
ONE_GROUP = re.compile(r"[-+]?[1-9]\d{0,2}([.,])\d{3}")
"""1.234 and 1,234: with a thousand, or with three decimals."""
SMALL = re.compile(r"[-+]?\d{1,3}")
NAMES = {".": "point", ",": "comma"}


class DoubtfulNumber(UserError):
    """A cell that may be two numbers."""


def number_reader(table: Table, column: str) -> Callable[[Any, str], float]:
    """What reads this column's cells, given with their place for the message: all of them in the one way that most show."""
    key = ("numbers", column)
    if key not in table.found_out:
        cells = [row.get(column) for row in (table.whole or table).rows]
        table.found_out[key] = reader_of([cell.strip() for cell in cells if isinstance(cell, str)])
    read: Callable[[Any, str], float] = table.found_out[key]
    return read


def reader_of(texts: Sequence[str]) -> Callable[[Any, str], float]:
    """What reads cells like these texts. UserError for one that is written in another way, DoubtfulNumber for one that
    may mean two numbers."""
    clear = [text for text in texts if _is_clear(text)]
    commas = 2 * sum(_fits(text, ",") for text in clear) > len(clear)
    point, groups = (",", ".") if commas else (".", ",")
    grouped = any(groups in text and _fits(text, point) for text in clear)
    doubtful = not clear and any(map(SMALL.fullmatch, texts))  # 950 and 1.250

    def read(cell: Any, where: str) -> float:
        if not isinstance(cell, str):
            return number_of(cell, where)
        text = cell.strip()
        one = ONE_GROUP.fullmatch(text)
        if one and (not grouped if one[1] == groups else doubtful):
            raise DoubtfulNumber(
                f"{where}: {text!r} may be {text.replace(one[1], '')} or {text.replace(one[1], '.')}, and the column does "
                "not tell; write numbers with a decimal point, and nothing between thousands."
            )
        if _is_clear(text) and not _fits(text, point):
            raise UserError(
                f"{where}: expected a number with a decimal {NAMES[point]} as in most rows, but got {cell!r}; write all "
                "alike."
            )
        return number_of(text.replace(groups, "").replace(point, ".") if _fits(text, point) else cell, where)

    return read


def are_decimals(cells: Sequence[Any]) -> bool:
    """Whether cells are numbers with decimal commas, but for an odd one, and surely no numbered labels: 2,2 or 0,05."""
    there = [str(cell).strip() for cell in cells if not is_blank(cell)]
    numbers = [text for text in there if WITH_COMMA.fullmatch(text)]
    return mostly(len(numbers), len(there)) and are_no_pairs(numbers)


def are_no_pairs(texts: Sequence[str]) -> bool:
    """Whether some text with one comma cannot be a pair of numbered labels: 2,2 or 0,05."""
    parts = [text.split(",") for text in texts if text.count(",") == 1]
    return any(a == b or re.match(r"0\d", b) for a, b in parts)


def is_number(cell: Any) -> bool:
    """Whether a cell is a number in some way of writing."""
    if isinstance(cell, str) and (_fits(cell.strip(), ".") or _fits(cell.strip(), ",")):
        return True
    try:
        number_of(cell, "")
    except UserError:
        return False
    return True


def _fits(text: str, point: str) -> bool:
    """Whether a text is a number with this sign before its decimals."""
    return (WITH_POINT if point == "." else WITH_COMMA).fullmatch(text) is not None


def _is_clear(text: str) -> bool:
    """Whether a text shows which sign stands before its decimals."""
    return _fits(text, ".") != _fits(text, ",")
