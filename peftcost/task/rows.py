"""The usable rows of a table, and what is wrong with the others."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import TypeVar

from peftcost.data.cells import label_of, time_of
from peftcost.data.table import Table
from peftcost.errors import UserError
from peftcost.task.task import Task
from peftcost.tasks.base import Example

T = TypeVar("T")
GROUP, TIME = "group", "time"
"""What an example holds beside its roles if the task splits by it."""
TOLD = 3
"""Rows that a warning names."""


def usable_rows(read: Callable[[Table], list[T]], table: Table, skip: bool) -> tuple[list[T], list[int], list[str]]:
    """What `read` makes of the rows, which rows these are, and one sentence for each other row, the reader's among them.

    Unless bad rows are skipped, the first one is a UserError.
    """
    everything = list(range(len(table.rows)))
    if not skip:
        return read(table), everything, []
    try:
        return read(table), everything, by_line(table.rejected, table.path)
    except UserError:
        pass
    found: list[T] = []
    used: list[int] = []
    told = list(table.rejected)
    for i in everything:
        try:
            found += read(table.only([i]))
            used.append(i)
        except UserError as error:
            told.append(str(error))
    if not found:
        raise UserError(f"{table.path} has no row that can be used; the first: {by_line(told, table.path)[0]}")
    return found, used, by_line(told, table.path)


def by_line(told: Sequence[str], path: str) -> list[str]:
    """What is told of a file's rows in their order; what names none comes last."""
    places = [re.match(r", \w+ (\d+)", text.removeprefix(path)) for text in told]
    numbers = [math.inf if place is None else int(place[1]) for place in places]
    return [told[i] for i in sorted(range(len(told)), key=numbers.__getitem__)]


def with_order(examples: Sequence[Example], table: Table, task: Task) -> list[Example]:
    """The examples with the group and the time that the task splits by. UserError for rows that lack it."""
    found = [dict(example) for example in examples]
    for key, column, read in ((GROUP, task.group, label_of), (TIME, task.time, time_of)):
        if column is None:
            continue
        for i, example in enumerate(found):
            example[key] = read(table.rows[i].get(column), f"{table.place(i)}, column {column!r}")
    return found


def told_in_short(rejected: Sequence[str]) -> list[str]:
    """A warning about rows that were left out, with the first of them."""
    if not rejected:
        return []
    more = f" (and {len(rejected) - TOLD} more: `peftcost check` lists them)" if len(rejected) > TOLD else ""
    problems = " ".join(problem.rstrip(".") + "." for problem in rejected[:TOLD])
    return [f"{len(rejected)} bad {'row was' if len(rejected) == 1 else 'rows were'} left out{more}: {problems}"]
