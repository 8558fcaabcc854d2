"""Data of tasks that peftcost does not train: which shape would be read, and how to write it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from peftcost.data.cells import holds_within, is_blank, list_from_text, marks_characters, told_of_characters
from peftcost.data.guess import LABEL_NAMES, holds
from peftcost.data.table import Table
from peftcost.errors import UserError

LOOKED_AT = 20
"""Rows that show what a column holds."""
CHOICES = ("choices", "options", "endings")
ONE_CHOICE = re.compile(r"(?:choice|option|ending|op)[ _-]?(\d|[a-e])", re.IGNORECASE)
"""The column of one of several choices, as choice1, option_b, ending0, opa."""
ANCHORS = ("anchor", "query", "question")
ASKING = ("question", "query", "prompt", "stem", "context", "ctx", "premise", "sentence")
LEARNT = ("messages", "completion", "output", "response")
"""What is learnt as it is, whatever stands beside."""
POSITIVES = ("positive", "pos")
NEGATIVES = ("negative", "neg")


def refuse_choices(table: Table) -> None:
    """UserError for questions with several choices, whose answer alone would be read for a class or a text."""
    names = [name.lower() for name in table.columns]
    listed = next((name for name in table.columns if name.lower() in CHOICES and _any(table, name, _is_list)), None)
    each = [name for name in table.columns if ONE_CHOICE.fullmatch(name) and holds(table, name, str)]
    if listed is None and (len(each) < 2 or len(table.columns) < len(each) + 2):
        return
    if set(names) & set(LEARNT) or (listed is not None and not set(names) & set(ASKING)):
        return
    shown = repr(listed) if listed else f"{each[0]!r} to {each[-1]!r}"
    raise UserError(
        f"{table.path} holds multiple choice (its choices stand in {shown}), which peftcost does not train as such; write "
        'each question with all choices as a prompt, as in {"prompt": "A fruit? A) pear B) oak", "completion": "A"}, or a '
        'row for each choice, as in {"question": "A fruit?", "answer": "pear", "label": 1}.'
    )


def refuse_other_tasks(table: Table) -> None:
    """UserError that calls a file's task by name where it is one of those that are not trained."""
    for tells in (_answers, _triplets, _characters):
        if (said := tells(table)) is not None:
            raise UserError(f"{table.path} {said}.")


def _answers(table: Table) -> str | None:
    """Of SQuAD, as `datasets` has it, as its own JSON is, and with a column for the place."""
    found = next((name for name in table.columns if name == "answer_start" or _any(table, name, _is_answer)), None)
    return found and (
        f"holds questions whose answers are places in a text, as SQuAD (the column {found!r}), which peftcost does not train "
        'as such; write a row for each question, as in {"prompt": "the context, then the question", "completion": "the '
        'answer"}'
    )


def _triplets(table: Table) -> str | None:
    names = {name.lower(): name for name in table.columns}
    anchor, positive, negative = (next(filter(names.get, some), None) for some in (ANCHORS, POSITIVES, NEGATIVES))
    if anchor is None or positive is None or set(names) & set(LABEL_NAMES) or (negative is None and anchor != "anchor"):
        return None
    shown = ", ".join(repr(names[one]) for one in (anchor, positive, negative) if one)
    return (
        f"holds texts that are alike, or not, for embeddings (the columns {shown}), which peftcost does not train; to learn "
        'whether two texts belong together, write a row for each pair, as in {"text": "the anchor", "text_pair": "the '
        'positive", "label": 1}, and 0 for a negative'
    )


def _characters(table: Table) -> str | None:
    found = next((name for name in table.columns if _any(table, name, marks_characters)), None)
    return found and f"has a column {found!r} that {told_of_characters()}"


def _any(table: Table, column: str, of: Callable[[Any], bool]) -> bool:
    """Whether one of the first cells is so, or holds something that is."""
    cells = [cell for row in table.rows[:LOOKED_AT] if not is_blank(cell := row.get(column))]
    return any(holds_within(cell, of) for cell in cells)


def _is_list(value: Any) -> bool:
    return isinstance(value, list) or (isinstance(value, str) and list_from_text(value) is not None)


def _is_answer(value: Any) -> bool:
    """Whether this is the answer to a question, with its place, or the text that pandas makes of it."""
    return (isinstance(value, Mapping) and "answer_start" in value) or (isinstance(value, str) and "'answer_start'" in value)
