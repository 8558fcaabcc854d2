"""The usable rows of a table, and what is wrong with the others."""

from __future__ import annotations

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
        return read(table), everything, list(table.rejected)
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
        raise UserError(f"{table.path} has no row that can be used; the first: {told[0]}")
    return found, used, told


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
