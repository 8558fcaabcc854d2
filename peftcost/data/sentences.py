"""Puts words that stand one a row together into sentences."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from peftcost.data.cells import LOOKED_AT, WHOLE_NUMBER, is_blank, label_of, list_from_text, mostly, text_of
from peftcost.data.guess import LABEL_NAMES
from peftcost.data.table import Rejects, Table
from peftcost.data.tags import OUTSIDES, in_capitals, marks_tags
from peftcost.errors import UserError

SENTENCE_NAMES = ("sentence", "sentenceid", "sentid", "sentenceidx", "sentenceno", "sentencenumber", "sentencenr", "sent")
"""What a column of sentences' numbers is called, without case, spaces and signs."""
ONE_WORD_NAMES = ("word", "words", "token", "tokens", "form")
WORD_NAMES = (*ONE_WORD_NAMES, "text")
"""What a column of words is called; a text may be one word by chance."""
SHORTEST = 2.0
"""Words a sentence, on average; what has fewer is no sentence's number."""
FEWEST_SENTENCES = 3
"""A document, on average; where fewer are counted anew, a number may have slipped in."""
NUMBERED = re.compile(r"(\w+\W+)?\d+")
NUMBERED_BY_NAME = re.compile(rf"{NUMBERED.pattern}|\S*\d\S*")
"""In a column of a known name: s0 and doc1_s3, too."""


def gather_sentences(table: Table, reject: Rejects | None = None) -> Table:
    """The table with a row for each sentence if it has one for each word; else the table itself.

    That is so where a column holds single words, another one tags (in a file to predict, there may be none), and a third one
    the sentence's number, in each row or in its first alone; or where blank lines stand between the sentences, beside tags or
    in a column that is called word. A word, tag or number that cannot be read goes to `reject`, with its sentence.
    """
    words, tags = word_column(table), tag_column(table)
    if words is None:
        return table
    reject = reject or Rejects()
    numbers = _number_column(table, tags is not None, (words, tags))
    doubtful: set[str] = set()
    if numbers is not None:
        keys = _keys(table, numbers)
        starts = _starts(keys)
        problems = _odd_numbers(keys) if _plain(numbers) in SENTENCE_NAMES else {}
        problems |= _coming_back(table, keys, starts, numbers)
        for i, problem in sorted(problems.items()):
            reject(f"{table.place(i)}, column {numbers!r}: {problem}")
            doubtful |= {key for key in keys[max(0, i - 1) : i + 2] if key}
        how = f"by the column {numbers!r}"
    else:
        starts = _behind_blank_lines(table) if tags is not None or _plain(words) in ONE_WORD_NAMES else []
        how = "by the blank lines between them"
        if len(starts) < 2 or len(table.rows) < SHORTEST * len(starts):
            return table
    parts = [
        (start, end)
        for start, end in zip(starts, [*starts[1:], len(table.rows)], strict=True)
        if not (numbers is not None and keys[start] in doubtful) and _readable(table, start, end, words, tags, reject)
    ]
    single = _of_sentences(table, parts, {words, tags, numbers}) | ({numbers} if numbers is not None else set())
    rows = [_sentence(table.rows[start:end], single) for start, end in parts]
    note = f"{table.path}: its {len(table.rows)} words are put together into {len(rows)} sentences, {how}."
    lines = [table.lines[start] for start, _ in parts]
    return replace(table, rows=rows, lines=lines, notes=[*table.notes, note], gathered_by=numbers)


def _readable(table: Table, start: int, end: int, words: str, tags: str | None, reject: Rejects) -> bool:
    """Whether each row of a sentence has a word and, where there is a column of them, a tag; else it is told."""
    for i in range(start, end):
        try:
            text_of(table.rows[i].get(words), f"{table.place(i)}, column {words!r}")
            if tags is not None:
                label_of(table.rows[i].get(tags), f"{table.place(i)}, column {tags!r}")
        except UserError as error:
            reject(str(error))
            return False
    return True


def _keys(table: Table, column: str) -> list[str]:
    """The sentence's number of each row, the same for 7 and 7.0; "" where there is none."""
    texts = ["" if is_blank(value := row.get(column)) else str(value).strip() for row in table.rows]
    return [whole[1] if (whole := WHOLE_NUMBER.fullmatch(text)) else text for text in texts]


def _odd_numbers(keys: Sequence[str]) -> dict[int, str]:
    """What is wrong with single numbers, by row: a gap where most rows repeat theirs, or what is no number."""
    repeated = sum(key != "" and key == before for before, key in itertools.pairwise(keys))
    everywhere = repeated > keys.count("")
    return {
        i: "the sentence's number is missing; fill it in." if not key else f"{key!r} is no sentence's number; correct it."
        for i, key in enumerate(keys)
        if (not key and (everywhere or i == 0)) or (key and not NUMBERED_BY_NAME.fullmatch(key))
    }


def _coming_back(table: Table, keys: Sequence[str], starts: Sequence[int], column: str) -> dict[int, str]:
    """What is wrong with numbers that stand in several places, by row: nothing where they begin anew in each document."""
    first: dict[str, int] = {}
    again = [start for start in starts if first.setdefault(keys[start], start) != start]
    if not again or _begins_anew([keys[start] for start in starts]):
        return {}
    for other in table.columns:
        blocks = [{str(row.get(other)) for row in table.rows[a:b]} for a, b in itertools.pairwise([*starts, len(keys)])]
        documents = {(min(block), keys[start]) for block, start in zip(blocks, starts, strict=True)}
        if other != column and all(len(block) == 1 for block in blocks) and len(documents) == len(starts):
            return {}
    return {
        i: f"the sentence {keys[i]!r} comes back after another one; put its words together, or number each sentence anew."
        for i in again
    }


def _begins_anew(numbers: Sequence[str]) -> bool:
    """Whether sentences are counted one by one, from the first number again in each of several documents."""
    ends = [int(found[0]) if (found := re.search(r"\d+$", number)) else -1 for number in numbers]
    begins = ends.count(ends[0])
    return len(ends) >= FEWEST_SENTENCES * begins and all(b in (a + 1, ends[0]) for a, b in itertools.pairwise(ends))


def word_column(table: Table) -> str | None:
    """The column that holds one word a row: the one of a known name, or the one of the most different words; or None."""
    tags = tag_column(table)
    single = [name for name in table.columns if name != tags and _single_words(table, name)]
    known = [name for name in single if _plain(name) in WORD_NAMES]
    different = {name: len({str(row.get(name)) for row in table.rows[: LOOKED_AT * 10]}) for name in single}
    return next(iter(known or sorted(single, key=lambda name: -different[name])), None)


def tag_column(table: Table) -> str | None:
    """The column that holds one tag of an entity scheme a row, but for an odd one, or None."""
    for name in table.columns:
        values = [row.get(name) for row in table.rows]
        texts = [value.strip() for value in values if isinstance(value, str)]
        if OUTSIDES.isdisjoint(texts):
            continue
        tags = [text for text in texts if in_capitals(text) is not None]
        if marks_tags(tags) and mostly(len(tags), len(values)):
            return name
    return None


def _single_words(table: Table, column: str) -> bool:
    """Whether the first cells are words without a space, but for an odd one, and not all of them numbers or gaps."""
    cells = [row.get(column) for row in table.rows[:LOOKED_AT]]
    words = [cell for cell in cells if isinstance(cell, str) and cell and not any(c.isspace() for c in cell)]
    return mostly(len(words), len(cells)) and not all(word.isdecimal() for word in words)


def _number_column(table: Table, tagged: bool, others: Sequence[str | None]) -> str | None:
    """The column of the sentences' numbers: one of a known name, else, beside tags, the finest that runs in blocks."""
    found = [
        name
        for name in table.columns
        if name not in others and _runs(table, name) and (tagged or _plain(name) in SENTENCE_NAMES)
    ]
    known = [name for name in found if _plain(name) in SENTENCE_NAMES]
    return next(iter(known or sorted(found, key=lambda name: -len(_starts(_keys(table, name))))), None)


def _runs(table: Table, column: str) -> bool:
    """Whether a column holds numbers, or gaps behind a first number, that stand for several rows each and come once. In a
    column of a known name, single ones may be odd, and numbers may come back."""
    if any(isinstance(row.get(column), list | dict) for row in table.rows):
        return False
    keys = _keys(table, column)
    starts = _starts(keys)
    numbers = [keys[start] for start in starts]
    if not numbers or len(keys) < SHORTEST * len(starts):
        return False
    if _plain(column) in SENTENCE_NAMES:
        return mostly(sum(NUMBERED_BY_NAME.fullmatch(number) is not None for number in numbers), len(numbers))
    once = len(set(numbers)) == len(numbers) > 1
    return once and keys[0] != "" and all(map(NUMBERED.fullmatch, numbers))


def _starts(keys: Sequence[str]) -> list[int]:
    """Where a new number begins; a gap belongs to the number before."""
    found: list[int] = []
    for i, key in enumerate(keys):
        if key and (not found or key != keys[found[-1]]):
            found.append(i)
    return found


def _behind_blank_lines(table: Table) -> list[int]:
    """The first row, and those with a blank line before them."""
    if table.unit != "line":
        return []
    return [i for i, line in enumerate(table.lines) if i == 0 or line > table.lines[i - 1] + 1]


def _sentence(rows: Sequence[dict[str, Any]], single: set[str]) -> dict[str, Any]:
    """single: the columns of which the first cell stands for all."""
    return {name: value if name in single else [row.get(name) for row in rows] for name, value in rows[0].items()}


def _of_sentences(table: Table, parts: Sequence[tuple[int, int]], others: set[str | None]) -> set[str]:
    """The columns that have one value in each sentence, and not one alone in all: the document, say."""
    found = set()
    for name in set(table.columns) - others - set(LABEL_NAMES):
        values = [{str(row.get(name)) for row in table.rows[start:end]} for start, end in parts]
        if all(len(some) == 1 for some in values) and len(set().union(*values)) > 1:
            found.add(name)
    return found


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
