"""What a cell of a data file has to hold: a text, a label, or a list of them."""

from __future__ import annotations

import ast
import json
import math
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from peftcost.data.table import Table
from peftcost.errors import UserError

LOOKED_AT = 200
"""Rows that are enough to see what a column holds."""
TAGGED = '{"tokens": ["Ann", "left"], "tags": ["B-PER", "O"]}'
"""How words and tags are written, for messages."""
DEEPEST = 6
"""Lists and objects within each other that are looked through."""
WHOLE_NUMBER = re.compile(r"([-+]?\d+)\.0*")
UNQUOTED_LIST = re.compile(r"\[\s*[^\s,\[\]\"']+(,\s?[^\s,\[\]\"']+)+\s*\]")
QUOTED = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\"""")
NUMPY_LIST = re.compile(
    r"""\[\s*(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")(?:\s+(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"))+\s*\]"""
)
NUMPY_NUMBERS = re.compile(r"\[\s*-?\d+(\.\d*)?(\s+-?\d+(\.\d*)?)*\s*\]")
WRITTEN_SET = re.compile(rf"set\(\)|\{{\s*(?:{QUOTED.pattern})(?:\s*,\s*(?:{QUOTED.pattern}))*\s*\}}")
ARRAY = re.compile(r"array\((.*?)(?:,\s*dtype=[^()\[\]]+)?\)", re.DOTALL)
LOOSE_LIST = re.compile(r"\[\s*[^,\[\]\"']+(,[^,\[\]\"']+)*\s*\]")
"""[drama], [science fiction, drama]: a list where other cells of its column surely are some."""
MOST = 0.95
"""Of the cells of a column, that show what it holds: an odd one is then told by its row."""
FEWEST = 4
"""Cells that are enough to call another one of their column odd."""
OPENS_LIST = ("['", '["')
BETWEEN_DICTS = re.compile(r"\}\s+\{")


def text_of(value: Any, where: str) -> str:
    """A text with something in it. where: file, row and column, for the message."""
    if is_missing(value):
        raise UserError(f"{where}: the text is missing; fill it in or remove the row.")
    if not isinstance(value, str):
        raise UserError(f"{where}: expected a text, but got {value!r} ({type(value).__name__}); write it in quotes.")
    if not value.strip():
        raise UserError(f"{where}: the text is empty; fill it in or remove the row.")
    return _whole_characters(value, where)


def label_of(value: Any, where: str) -> str:
    """A label as a string, the same for what is the same: 1, 1.0, "1" and "1.0" are "1"; true, "true" and "TRUE" are "True".

    A class may be called nan; what is missing is an empty cell, null, or the number NaN.
    """
    if is_missing(value):
        raise UserError(f"{where}: the label is missing; fill it in or remove the row.")
    if marks_characters(value):
        raise UserError(f"{where}: {value!r} {told_of_characters()}.")
    if isinstance(value, dict):
        raise UserError(
            f"{where}: expected one label, but got an object ({', '.join(map(repr, list(value)[:5]))}: …); write the label "
            "alone, or of several labels the list of those that hold."
        )
    if isinstance(value, Decimal):  # as databases write numbers into Parquet
        value = str(value)
    if not isinstance(value, str | int | float):
        how = "several labels a row are `task: multi-label`" if isinstance(value, list) else "write it as a text"
        raise UserError(f"{where}: expected one label, but got {value!r} ({type(value).__name__}); {how}.")
    label = str(value).strip()
    if not label:
        raise UserError(f"{where}: the label is empty; fill it in or remove the row.")
    if whole := WHOLE_NUMBER.fullmatch(label):
        label = whole[1]
    if label.lower() in ("true", "false"):
        label = label.capitalize()
    return _whole_characters(label, where)


def marks_characters(value: Any) -> bool:
    """Whether a label is a part of a text by its characters, as annotation tools write it: [0, 3, "PER"], {"start": 0, …}."""
    if isinstance(value, dict):
        return bool({"start", "start_offset"} & value.keys()) and bool({"end", "end_offset"} & value.keys())
    return isinstance(value, list | tuple) and [type(part) for part in value] == [int, int, str]


def told_of_characters() -> str:
    """What to say of parts of a text that are marked by their characters."""
    return f"marks characters of a text; write its words and a tag for each in their place, as in {TAGGED}"


def holds_within(value: Any, of: Callable[[Any], bool], deep: int = DEEPEST) -> bool:
    """Whether a value is so, or has one within that is."""
    if of(value):
        return True
    if deep == 0 or not isinstance(value, dict | list | tuple):
        return False
    parts = list(value.values()) if isinstance(value, dict) else value[:LOOKED_AT]
    return any(holds_within(part, of, deep - 1) for part in parts)


def list_of(value: Any, where: str) -> list[Any]:
    """A list as it is, or written as Python, JSON or numpy write it, or a string cut at its spaces; not empty."""
    items = value
    if isinstance(value, str):
        written = list_from_text(value)
        if written is None and value.lstrip().startswith(OPENS_LIST):
            raise UserError(f"{where}: begins as a list does ({value[:30]!r}), but is none; correct it or remove the row.")
        items = written if written is not None else [part for part in value.split(" ") if part.strip()]
    if not isinstance(items, list):
        raise UserError(f"{where}: expected a list or words with spaces between, but got {value!r}.")
    if not items:
        raise UserError(f"{where}: is empty; fill it in or remove the row.")
    return items


def time_of(value: Any, where: str) -> float:
    """A number that grows with time: of a number, a date, or a time as ISO 8601 writes it (UTC unless it says so)."""
    if isinstance(value, date):
        value = value.isoformat()
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if math.isfinite(number):
        return number
    try:
        at = datetime.fromisoformat(str(value).strip())
    except ValueError as error:
        raise UserError(
            f"{where}: {value!r} is no time that sorts without doubt; write 2024-03-31, 2024-03-31 18:30 or a number."
        ) from error
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def is_missing(value: Any) -> bool:
    """Whether a cell holds nothing: null, or the number NaN."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def is_blank(value: Any) -> bool:
    """Whether a cell holds nothing, or nothing but spaces."""
    return is_missing(value) or (isinstance(value, str) and not value.strip())


def mostly(fitting: int, cells: int) -> bool:
    """Whether so many cells show what the column holds: all, or all but an odd one in twenty, or one of few."""
    return fitting == cells or (fitting >= FEWEST and cells - fitting <= max(1, (1 - MOST) * cells))


def list_from_text(text: str) -> list[Any] | None:
    """The list that a text writes as JSON, Python or numpy do, or None: ["a", 1], ['a', 'b'], ['a' 'b'], [3 0], [a, b],
    {'a', 'b'}, array(['a', 'b'], dtype=object)."""
    text = text.strip()
    if WRITTEN_SET.fullmatch(text):
        return [_literal(quoted) for quoted in QUOTED.findall(text)]
    if within := ARRAY.fullmatch(text):
        text = within[1]
    if not (text.startswith("[") and text.endswith("]")) and not (text.startswith("(") and text.endswith(")")):
        return None
    if NUMPY_LIST.fullmatch(text):  # to Python, strings with nothing between them are one
        return [_literal(quoted) for quoted in QUOTED.findall(text)]
    if NUMPY_NUMBERS.fullmatch(text):
        return [float(number) if "." in number else int(number) for number in text[1:-1].split()]
    if UNQUOTED_LIST.fullmatch(text):
        words = [word.strip() for word in text[1:-1].split(",")]
        return [int(word) for word in words] if all(word.isdecimal() for word in words) else words
    found = _json(text)
    found = _literal(text) if found is None else found
    found = _literal(BETWEEN_DICTS.sub("}, {", text)) if found is None else found
    return list(found) if isinstance(found, list | tuple) else None


def lists_from_text(table: Table, among: Sequence[str] | None = None) -> Table:
    """The table with lists in the columns whose cells write them; an odd cell that does not stays as it is. among: the names
    of the columns that are looked at, in small letters; all of them unless said."""
    looked_at = [name for name in table.columns if among is None or name.lower() in among]
    written = [name for name in looked_at if _writes_lists(table, name)]
    if not written:
        return table
    rows = [{**row, **{name: _list_or_text(row.get(name)) for name in written}} for row in table.rows]
    return replace(table, rows=rows)


def _writes_lists(table: Table, column: str) -> bool:
    there = [cell for row in table.rows[:LOOKED_AT] if not is_blank(cell := row.get(column))]
    texts = [cell for cell in there if isinstance(cell, str)]
    if len(texts) < len(there):
        return False
    surely = [list_from_text(cell) is not None for cell in texts]
    written = [is_list or LOOSE_LIST.fullmatch(cell.strip()) is not None for is_list, cell in zip(surely, texts, strict=True)]
    return any(surely) and sum(written) >= MOST * len(texts)


def _list_or_text(cell: Any) -> Any:
    if not isinstance(cell, str):
        return cell
    found = list_from_text(cell)
    if found is None and LOOSE_LIST.fullmatch(cell.strip()):
        return [word.strip() for word in cell.strip()[1:-1].split(",")]
    return cell if found is None else found


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _literal(text: str) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a backslash that means nothing
            return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None


def _whole_characters(text: str, where: str) -> str:
    """The text, unless JSON's \\u escapes left half of a surrogate pair in it, which no tokenizer takes."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UserError(
            f"{where}: holds half of a surrogate pair (\\u{ord(text[error.start]):x}), which is no character; write it again."
        ) from error
    return text


def number_of(value: Any, where: str) -> float:
    """A finite number. where: file, row and column, for the message."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise UserError(f"{where}: expected a number, but got {value!r}; correct it or remove the row.") from None
    if not math.isfinite(number):
        raise UserError(f"{where}: {value!r} is no finite number; correct it or remove the row.")
    return number
