"""Which column of a file holds what, as far as its name and its first rows tell."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from peftcost.data.cells import LOOKED_AT, MOST, is_blank, label_of, mostly, time_of
from peftcost.data.numbers import is_number
from peftcost.data.split_folder import are_splits
from peftcost.data.table import Table
from peftcost.errors import OtherData, UserError, did_you_mean

LABEL_NAMES = ("label", "labels", "tag", "tags", "ner_tags", "class", "target")
"""What a label column is called where nobody says."""
SCORE_NAMES = ("score", "scores", "rating", "ratings", "similarity", "similarity_score", "relatedness_score", "stars")
"""What a column of numbers to be learnt is called, where there is no label column."""
CLASS_NAMES = ("sentiment", "category", "intent", "emotion", "topic", "polarity")
"""What a column of classes is called, where there is no label column."""
LIKE_LABELS = (*SCORE_NAMES, *CLASS_NAMES)
"""Of them a score may be how sure one is of the class beside it."""
TEXT_NAMES = ("text", "sentence", "review", "message", "tweet", "comment", "question", "title")
"""What a column of texts is called."""

PAIR_NAMES = (
    ("sentence1", "sentence2"),
    ("premise", "hypothesis"),
    ("question1", "question2"),
    ("texta", "textb"),
    ("text1", "text2"),
    ("sentencea", "sentenceb"),
    ("query", "passage"),
    ("query", "document"),
    ("question", "passage"),
    ("question", "sentence"),
    ("question", "answer"),
    ("text", "textpair"),
)
"""What two texts that belong together are called, without case and signs."""
KNOWN_NAMES = {*LABEL_NAMES, *LIKE_LABELS, *TEXT_NAMES, *(name for pair in PAIR_NAMES for name in pair)}
"""What shows that a line is a header."""
LISTED = 10
"""Columns that play no role, as far as they are named."""
COMPLETIONS = ("completion", "response", "answer", "reply", "assistant", "output", "outputs", "targets")
"""What a column is called that a model is to write."""
MOST_CLASSES = 20
"""Different values of a column that is called otherwise, or of one of whole numbers, up to which they may be classes."""
SENTENCE = 4
"""Words of a text, on average; labels have fewer."""
FLAGS = {"0", "1", "True", "False"}
NO_LABEL = re.compile(r".*(\b|_)(id|idx|index|year|fold)|.*[a-z]I[dD]", re.IGNORECASE)
YEAR = re.compile(r"(19|20)\d\d")
TURN_KEYS = (
    *({"role", "content"}, {"role", "tool_calls"}, {"role", "function_call"}, {"from", "value"}),
    *({"role", "text"}, {"speaker", "text"}, {"speaker", "content"}),
)
"""What a turn of a conversation has: as OpenAI, as ShareGPT, and as others write it."""


def label_column(table: Table, label: str | None) -> str:
    """The label column: as named, else the only one with a label's name, else the only one that is called a score or as
    classes are, else the only one beside texts whose values can be labels. UserError where none of these tells."""
    if label is None:
        found = called_labels(table) or _values_like_labels(table)
        if len(found) != 1 and len(table.columns) == 1:
            raise UserError(
                f"{table.path} has one column alone ({table.listed}); give text and label a column each, with a comma, a "
                f"semicolon, a tab or a bar between them, or a key each in JSON.{of_objects(table)}"
            )
        if len(found) != 1:
            raise UserError(
                f"{table.path} does not show which column is the label; name it with --label: {table.listed}."
                f" Of other tasks write a task.yaml with `task:` and `columns:`.{of_objects(table)}"
            )
        label = found[0]
    check_columns_exist(table, {"label": label})
    return label


def of_objects(table: Table) -> str:
    """What to do with columns whose cells are objects with fields of their own; "" where there are none."""
    first = {name: next((row[name] for row in table.rows if row.get(name) is not None), None) for name in table.columns}
    found = [
        name
        for name, cell in first.items()
        if isinstance(cell[0] if isinstance(cell, list) and cell else cell, Mapping | list)
    ]
    return f" What is within {listed(found)} is no column; write what is to be learnt beside the others." if found else ""


def called_labels(table: Table) -> list[str]:
    """The columns that are called like labels; where none is, those that are called a score or as classes are."""
    called = [[name for name in table.columns if name.lower() in names] for names in (LABEL_NAMES, LIKE_LABELS)]
    return called[0] or called[1]


def told_of_label(table: Table, columns: Mapping[str, Any]) -> list[str]:
    """What to tell of a label column that its values alone show."""
    found = [] if called_labels(table) else _values_like_labels(table)
    if len(found) != 1 or found[0] not in columns.values():
        return []
    return [
        f"{found[0]!r} is taken for the label, since no other column holds a few values that repeat; --label names another."
    ]


def _values_like_labels(table: Table) -> list[str]:
    """The columns beside texts of which a few short values repeat. Other numbers than 0 and 1 may count or measure something:
    one such column alone is none."""
    found = [name for name in table.columns if _repeats(table, name)]
    others = [name for name in table.columns if name not in found]
    text = text_column(table, others)
    if pair_columns(table, others) is None and (text is None or not _holds_texts(table, text)):
        return []
    values = [value for name in found for value in some_cells(table, name)]
    doubtful = len(found) == 1 and any(map(is_number, values)) and not {label_of(value, "") for value in values} <= FLAGS
    return [] if doubtful else found


def _repeats(table: Table, column: str) -> bool:
    """Whether almost all cells are one of a few short values, which are no names of splits, no years and no times."""
    cells = some_cells(table, column)
    values = {str(cell).strip() for cell in cells}
    if NO_LABEL.fullmatch(column) or column.lower() in COMPLETIONS or are_splits(values):
        return False
    single = all(isinstance(cell, str | int | float) for cell in cells)
    few = 2 <= len(values) <= min(MOST_CLASSES, len(cells) / 2)
    short = sum(len(value.split()) for value in values) < SENTENCE * len(values)
    filled = len(cells) >= MOST * len(table.rows[:: _step(table)])
    return single and few and short and filled and not all(map(_is_time, values))


def _holds_texts(table: Table, column: str) -> bool:
    words = [len(str(cell).split()) for cell in some_cells(table, column)]
    return column.lower() in TEXT_NAMES or sum(words) >= SENTENCE * len(words)


def some_cells(table: Table, column: str) -> list[Any]:
    """Cells that hold something, from all over the file, which may be sorted by them."""
    return [cell for row in table.rows[:: _step(table)] if not is_blank(cell := row.get(column))]


def _step(table: Table) -> int:
    return max(1, len(table.rows) // LOOKED_AT)


def _is_time(value: str) -> bool:
    """Whether a text is a year, or a time that is no mere number."""
    try:
        time_of(value, "")
    except UserError:
        return False
    return not is_number(value) or YEAR.fullmatch(value) is not None


def text_column(table: Table, names: list[str]) -> str | None:
    """Of these columns the one called text, the only one of strings, or the one with clearly the longest; else None. One that
    is called an identifier is none beside others."""
    strings = [name for name in names if holds(table, name, str)]
    strings = [name for name in strings if not NO_LABEL.fullmatch(name)] or strings
    if "text" in strings:
        return "text"
    return strings[0] if len(strings) == 1 else _longest(table, strings)


def holds(table: Table, column: str, kind: type) -> bool:
    """Whether the first values that are there are of this type, but for an odd one, which is then told by its row."""
    values = [value for row in table.rows[:LOOKED_AT] if (value := row.get(column)) is not None]
    fitting = [value for value in values if isinstance(value, kind)]
    return mostly(len(fitting), len(values)) and any(fitting)


def is_turn(value: Any) -> bool:
    """Whether a value has the keys of a turn."""
    return isinstance(value, Mapping) and any(keys <= value.keys() for keys in TURN_KEYS)


def is_conversation(value: Any) -> bool:
    """Whether a value is a list of turns."""
    return isinstance(value, list) and bool(value) and all(map(is_turn, value))


def pair_columns(table: Table, names: list[str]) -> tuple[str, str] | None:
    """Of these columns the two that hold texts which belong together, by their names; or None."""
    plain = {re.sub(r"[^a-z0-9]", "", name.lower()): name for name in names if holds(table, name, str)}
    return next(((plain[a], plain[b]) for a, b in PAIR_NAMES if a in plain and b in plain), None)


def listed(columns: Sequence[str], kind: str = "columns") -> str:
    """Columns in one line, of many the first. kind: what else they are."""
    more = f" and {len(columns) - LISTED} more {kind}" if len(columns) > LISTED else ""
    return ", ".join(map(repr, columns[:LISTED])) + more


def names_of(columns: Iterable[str | list[str]]) -> list[str]:
    """The columns' names, where each may be a list of them."""
    return [name for column in columns for name in ([column] if isinstance(column, str) else column)]


def shown(column: str | list[str]) -> str:
    """A column, or several that are read as one, for messages."""
    return " + ".join(map(repr, names_of([column])))


def said_as(task: str, columns: Mapping[str, str | list[str]], role: str, instead: str) -> str:
    """What to write in a task.yaml for another task, in which the column of `instead` plays `role`."""
    roles = {role if name == instead else name: column for name, column in columns.items()}
    return f"write `task: {task}` and `columns: {as_yaml(roles)}`"


def as_yaml(columns: Mapping[str, str | list[str]]) -> str:
    """Columns as a task.yaml has them in one line."""
    each = (
        f"{name}: {column if isinstance(column, str) else '[' + ', '.join(column) + ']'}" for name, column in columns.items()
    )
    return f"{{{', '.join(each)}}}"


def unused_columns(table: Table, columns: Mapping[str, Any]) -> list[str]:
    """The columns that play none of these roles, nor told which lines are one row."""
    return [name for name in table.columns if name not in (*names_of(columns.values()), table.gathered_by)]


def check_columns_exist(table: Table, columns: Mapping[str, Any]) -> None:
    """OtherData for a column that the file does not have."""
    for role, column in [(role, name) for role, found in columns.items() for name in names_of([found])]:
        if column not in table.columns:
            raise OtherData(
                f"{table.path} has no column {column!r} for the {role}.{did_you_mean(column, table.columns)} "
                f"It has {table.listed}."
            )


def _longest(table: Table, columns: list[str]) -> str | None:
    """The column whose strings are on average twice as long as any other's, or None."""
    rows = table.rows[:LOOKED_AT]
    length = {name: sum(len(str(row.get(name) or "")) for row in rows) / len(rows) for name in columns}
    first, second = [*sorted(columns, key=lambda name: -length[name]), None, None][:2]
    if first is None or second is None or length[first] < 2 * length[second]:
        return None
    return first
