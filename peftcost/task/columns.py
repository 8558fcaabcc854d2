"""Which column plays which role, and which task type that makes, when the task does not say."""

from __future__ import annotations

from collections.abc import Mapping

from peftcost.data.guess import check_columns_exist
from peftcost.data.table import Table
from peftcost.errors import UserError
from peftcost.tasks import get_task_type, task_types
from peftcost.tasks.base import TaskType


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
    raise UserError(f"{table.path} (columns {table.listed}) {why} ({roles}).")


def guess_columns(table: Table, label: str | None) -> tuple[TaskType, dict[str, str]]:
    """Task type and columns of a data file of which at most the label column is known: of the first type, by precedence, that
    takes the file for its own."""
    for kind in sorted(task_types().values(), key=lambda kind: kind.precedence):
        columns = kind.guess_columns(table, label)
        if columns is not None:
            return kind, columns
    raise UserError(f"{table.path} (columns {table.listed}) fits no task; write a task.yaml with `task:` and `columns:`.")


def _open(table: Table, kind: TaskType, given: Mapping[str, str]) -> list[str]:
    return [role for role in kind.roles if role not in given and role not in table.columns]


def _filled(table: Table, kind: TaskType, given: Mapping[str, str]) -> dict[str, str]:
    for role in _open(table, kind, given):
        raise UserError(
            f"{table.path} has no column {role!r}; say which of {table.listed} it is with "
            f"`columns: {{{role}: …}}` in the task."
        )
    return {role: given.get(role, role) for role in kind.roles}
