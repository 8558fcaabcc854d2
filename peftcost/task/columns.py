"""Which column plays which role, and which task type that makes, when the task does not say."""

from __future__ import annotations

from collections.abc import Mapping

from peftcost.data.sentences import tag_column, word_column
from peftcost.data.table import Table
from peftcost.errors import UserError, did_you_mean
from peftcost.tasks import get_task_type, task_types
from peftcost.tasks.base import TaskType

LABEL_NAMES = ("label", "labels", "tag", "tags", "ner_tags", "class", "target")
"""What a label column is called where nobody says."""
LOOKED_AT = 200
"""Rows that are enough to see what a column holds."""


def fit_columns(table: Table, task: str | None, columns: Mapping[str, str] | None) -> tuple[TaskType, dict[str, str]]:
    """The task type and the column of each of its roles.

    A role that `columns` leaves out is played by the column of its own name; a task that is left out is the only one
    whose roles can all be filled. UserError that names the file's columns when that does not work out.
    """
    given = dict(columns or {})
    check_columns_exist(table, given)
    if task is not None:
        return (kind := get_task_type(task)), _filled(table, kind, given)
    fitting = [kind for kind in task_types().values() if set(given) <= set(kind.roles) and not _open(table, kind, given)]
    if len(fitting) == 1:
        return fitting[0], _filled(table, fitting[0], given)
    roles = "; ".join(f"{kind.name}: {', '.join(kind.roles)}" for kind in task_types().values())
    why = "fits more than one task; say which with `task:`" if fitting else "fits no task; say which with `columns:`"
    raise UserError(f"{table.path} (columns {_listed(table)}) {why} ({roles}).")


def guess_columns(table: Table, label: str | None) -> tuple[TaskType, dict[str, str]]:
    """Task type and columns of a data file of which at most the label column is known.

    Lists of labels make it token classification, with the column `tokens` or the only other list; else the text is
    the column `text`, the only other column of strings, or the one with clearly the longest.
    """
    types = task_types()
    sequences, texts = types["token-classification"], types["text-classification"]
    own_names = [name for name in table.columns if name.lower() in LABEL_NAMES]
    if label is None and len(own_names) != 1:
        raise UserError(f"{table.path} does not show which column is the label; name it with --label: {_listed(table)}.")
    label = label or own_names[0]
    check_columns_exist(table, {"label": label})
    others = [name for name in table.columns if name != label]
    lists = [name for name in others if _holds(table, name, list)]
    refuse_single_words(table, label)
    if _holds(table, label, list) and not lists and "tokens" not in others:
        raise UserError(
            f"{table.place(0)}, column {label!r}: holds several labels a row, beside no list of tokens; that is multi-label "
            "classification. Keep one label a row, or give the tokens of each row as a list."
        )
    if _holds(table, label, list) or (label == "tags" and "tokens" in others):
        tokens = "tokens" if "tokens" in others else lists[0] if len(lists) == 1 else None
        if tokens is None:
            raise UserError(
                f"{table.path} does not show which column holds the tokens ({_listed(table)}); write a task.yaml "
                f"with `columns: {{tokens: …, tags: {label}}}`."
            )
        return sequences, {"tokens": tokens, "tags": label}
    strings = [name for name in others if _holds(table, name, str)]
    text = "text" if "text" in strings else strings[0] if len(strings) == 1 else _longest(table, strings)
    if text is None:
        raise UserError(
            f"{table.path} does not show which column holds the text ({_listed(table)}); write a task.yaml "
            f"with `columns: {{text: …, label: {label}}}`."
        )
    return texts, {"text": text, "label": label}


def refuse_single_words(table: Table, label: str) -> None:
    """UserError for a file of one word and its tag a row, without anything that shows where a sentence ends."""
    words = word_column(table)
    if label == tag_column(table) and words is not None:
        raise UserError(
            f"{table.place(0)}, columns {words!r} and {label!r}: holds one word a row, but not where a sentence ends; add a "
            "column `sentence_id` with the sentence's number, or leave a blank line behind each sentence."
        )


def check_columns_exist(table: Table, columns: Mapping[str, str]) -> None:
    """UserError for a column that the file does not have."""
    for role, column in columns.items():
        if column not in table.columns:
            raise UserError(
                f"{table.path} has no column {column!r} for the {role}.{did_you_mean(column, table.columns)} "
                f"It has {_listed(table)}."
            )


def _open(table: Table, kind: TaskType, given: Mapping[str, str]) -> list[str]:
    return [role for role in kind.roles if role not in given and role not in table.columns]


def _filled(table: Table, kind: TaskType, given: Mapping[str, str]) -> dict[str, str]:
    for role in _open(table, kind, given):
        raise UserError(
            f"{table.path} has no column {role!r}; say which of {_listed(table)} it is with "
            f"`columns: {{{role}: …}}` in the task."
        )
    return {role: given.get(role, role) for role in kind.roles}


def _holds(table: Table, column: str, kind: type) -> bool:
    """Whether the first values that are there are of this type."""
    values = [row.get(column) for row in table.rows[:LOOKED_AT]]
    return all(isinstance(value, kind) for value in values if value is not None) and any(values)


def _longest(table: Table, columns: list[str]) -> str | None:
    """The column whose strings are on average twice as long as any other's, or None."""
    rows = table.rows[:LOOKED_AT]
    length = {name: sum(len(row.get(name) or "") for row in rows) / len(rows) for name in columns}
    first, second = [*sorted(columns, key=lambda name: -length[name]), None, None][:2]
    if first is None or second is None or length[first] < 2 * length[second]:
        return None
    return first


def _listed(table: Table) -> str:
    return ", ".join(map(repr, table.columns))
