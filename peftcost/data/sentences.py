"""Puts words that stand one a row together into sentences."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from peftcost.data.cells import LOOKED_AT, is_blank, list_from_text
from peftcost.data.table import Table
from peftcost.data.tags import OUTSIDE, marks_spans
from peftcost.errors import UserError

SENTENCE_NAMES = ("sentence", "sentenceid", "sentid", "sentenceidx", "sentenceno", "sentencenumber", "sentencenr", "sent")
"""What a column of sentences' numbers is called, without case, spaces and signs."""
ONE_WORD_NAMES = ("word", "words", "token", "tokens", "form")
WORD_NAMES = (*ONE_WORD_NAMES, "text")
"""What a column of words is called; a text may be one word by chance."""
SHORTEST = 2.0
"""Words a sentence, on average; what has fewer is no sentence's number."""
NUMBERED = re.compile(r"(\w+\W+)?\d+")
NUMBERED_BY_NAME = re.compile(rf"{NUMBERED.pattern}|\S*\d\S*")
"""In a column of a known name: s0 and doc1_s3, too."""


def gather_sentences(table: Table) -> Table:
    """The table with a row for each sentence if it has one for each word; else the table itself.

    That is so where a column holds single words, another one tags (in a file to predict, there may be none), and a third one
    the sentence's number, in each row or in its first alone; or where blank lines stand between the sentences, beside tags or
    in a column that is called word.
    """
    words, tags = word_column(table), tag_column(table)
    if words is None:
        return table
    numbers = _number_column(table, tags is not None, (words, tags))
    if numbers is not None:
        starts = _starts([row.get(numbers) for row in table.rows])
        how = f"by the column {numbers!r}"
    else:
        starts = _behind_blank_lines(table) if tags is not None or _plain(words) in ONE_WORD_NAMES else []
        how = "by the blank lines between them"
        if len(starts) < 2 or len(table.rows) < SHORTEST * len(starts):
            return table
    ends = [*starts[1:], len(table.rows)]
    rows = [_sentence(table.rows[start:end], numbers) for start, end in zip(starts, ends, strict=True)]
    note = f"{table.path}: its {len(table.rows)} words are put together into {len(rows)} sentences, {how}."
    lines = [table.lines[start] for start in starts]
    return Table(table.path, table.columns, rows, lines, table.unit, [*table.notes, note], table.rejected)


def word_column(table: Table) -> str | None:
    """The column that holds one word a row: the one of a known name, or the one of the most different words; or None."""
    tags = tag_column(table)
    single = [name for name in table.columns if name != tags and _single_words(table, name)]
    known = [name for name in single if _plain(name) in WORD_NAMES]
    different = {name: len({row.get(name) for row in table.rows[: LOOKED_AT * 10]}) for name in single}
    return next(iter(known or sorted(single, key=lambda name: -different[name])), None)


def tag_column(table: Table) -> str | None:
    """The column that holds one tag of an entity scheme a row, or None."""
    for name in table.columns:
        values = [row.get(name) for row in table.rows]
        tags = [value for value in values if isinstance(value, str)]
        if len(tags) == len(values) and OUTSIDE in tags and marks_spans(tags):
            return name
    return None


def _single_words(table: Table, column: str) -> bool:
    """Whether the first cells are words without a space, and not all of them numbers or gaps."""
    cells = [row.get(column) for row in table.rows[:LOOKED_AT]]
    words = [cell for cell in cells if isinstance(cell, str) and cell and not any(c.isspace() for c in cell)]
    return len(words) == len(cells) and not all(word.isdecimal() for word in words)


def _number_column(table: Table, tagged: bool, others: Sequence[str | None]) -> str | None:
    """The column of the sentences' numbers: one of a known name, else, beside tags, the finest that runs in blocks."""
    found = [
        name
        for name in table.columns
        if name not in others and _runs(table, name) and (tagged or _plain(name) in SENTENCE_NAMES)
    ]
    known = [name for name in found if _plain(name) in SENTENCE_NAMES]
    return next(iter(known or sorted(found, key=lambda name: -len(_starts([row.get(name) for row in table.rows])))), None)


def _runs(table: Table, column: str) -> bool:
    """Whether a column holds numbers, or gaps behind a first number, that stand for several rows each and come once."""
    values = [row.get(column) for row in table.rows]
    if not values or is_blank(values[0]) or any(isinstance(value, list | dict | float) for value in values):
        return False
    starts = _starts(values)
    numbers = [str(values[start]) for start in starts]
    known = _plain(column) in SENTENCE_NAMES
    once = known or len(set(numbers)) == len(numbers)
    return (
        once
        and all(map((NUMBERED_BY_NAME if known else NUMBERED).fullmatch, numbers))
        and len(values) >= SHORTEST * len(starts)
        and (known or len(starts) > 1)
    )


def _starts(values: Sequence[Any]) -> list[int]:
    """Where a new number begins; a gap belongs to the number before."""
    found: list[int] = []
    for i, value in enumerate(values):
        if not is_blank(value) and (not found or value != values[found[-1]]):
            found.append(i)
    return found


def _behind_blank_lines(table: Table) -> list[int]:
    """The first row, and those with a blank line before them."""
    if table.unit != "line":
        return []
    return [i for i, line in enumerate(table.lines) if i == 0 or line > table.lines[i - 1] + 1]


def _sentence(rows: Sequence[dict[str, Any]], numbers: str | None) -> dict[str, Any]:
    names = rows[0]
    return {name: names[name] if name == numbers else [row.get(name) for row in rows] for name in names}


def _plain(name: str) -> str:
    return re.sub(r"[^a-z]", "", name.lower())


def refuse_single_words(table: Table, label: str) -> None:
    """UserError for a file of one word and its tag a row, without anything that shows where a sentence ends."""
    words = word_column(table)
    if label == tag_column(table) and words is not None:
        raise _without_ends(table, words)


def refuse_words_as_sentences(table: Table, column: str) -> None:
    """UserError for a file whose rows hold one word each in the column of the sentences. A sentence of one word can be a
    list, and one row alone is a sentence."""
    rows = (table.whole or table).rows
    if len(rows) > 1 and all(_is_word(row.get(column)) for row in rows[:: 1 + len(rows) // LOOKED_AT]):
        raise _without_ends(table, column)


def _without_ends(table: Table, words: str) -> UserError:
    return UserError(
        f"{table.place(0)}, column {words!r}: holds one word a row, but not where a sentence ends; add a column "
        "`sentence_id` with the sentence's number, leave a blank line behind each sentence, or write lists of words."
    )


def _is_word(cell: Any) -> bool:
    return isinstance(cell, str) and len(cell.split()) == 1 and list_from_text(cell) is None
