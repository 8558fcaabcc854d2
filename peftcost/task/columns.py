"""Which column plays which role, and which task type that makes, when the task does not say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from peftcost.data.fingerprint import base_config
from peftcost.data.guess import check_columns_exist
from peftcost.data.table import Table
from peftcost.errors import OtherData, UserError
from peftcost.tasks import get_task_type, task_types
from peftcost.tasks.base import TaskType
from peftcost.tasks.no_task import refuse_choices, refuse_other_tasks
from peftcost.tasks.preferences import check_no_preferences, holds_preferences
from peftcost.tasks.writing import prompts_and_completions


def fit_columns(
    table: Table, task: str | None, columns: Mapping[str, Any] | None, model: str | None = None
) -> tuple[TaskType, dict[str, Any]]:
    """The task type and the column of each of its roles. model: the base, which decides where columns leave several types.

    A role that `columns` leaves out is played by the column of its own name; a task that is left out is the only one
    whose roles can all be filled. Where neither is given and the file has no roles' names, or a text's alone, they are
    guessed, as of a mere data file. OtherData that names the file's columns when that does not work out.
    """
    given = dict(columns or {})
    check_columns_exist(table, given)
    if task is not None:
        kind = get_task_type(task)
        if kind.generates and not given and _shape(table, kind, given) is None:
            check_no_preferences(table, kind.name, prompts_and_completions(table)[0])
        return kind, _filled(table, kind, given)
    known = [(kind, shape) for kind in task_types().values() if (shape := _shape(table, kind, given)) is not None]
    most = max((len(shape) for _, shape in known), default=0)  # a file with text and label is not a file of mere texts
    if most <= 1 and not given:
        refuse_choices(table)
        if (guessed := _guessed_or_none(table, model)) is not None:
            return guessed
    fitting = [kind for kind, shape in known if len(shape) == most]
    if len(fitting) > 1 and model is not None:
        fitting = [kind for kind in fitting if kind.suits(base_config(model))]
    if len(fitting) == 1:
        return fitting[0], _filled(table, fitting[0], given)
    if not fitting and not given:
        if holds_preferences(table):
            guess_columns(table, None, model)  # tells what can be learnt of them
        refuse_other_tasks(table)
    roles = "; ".join(f"{kind.name}: {_listed(kind)}" for kind in task_types().values())
    why = "fits more than one task; say which with `task:`" if fitting else "fits no task; say which with `columns:`"
    raise OtherData(f"{table.path} (columns {table.listed}) {why} ({roles}).")


def guess_columns(table: Table, label: str | None, model: str | None = None) -> tuple[TaskType, dict[str, Any]]:
    """Task type and columns of a data file of which at most the label column is known: of the first type, by precedence, that
    takes the file for its own. model: the base, if it is known. UserError that calls other tasks' data by name."""
    if label is None:
        refuse_choices(table)
    try:
        found = _guessed(table, label, model)
    except UserError:
        refuse_other_tasks(table)
        raise
    if found is None:
        refuse_other_tasks(table)
        raise UserError(f"{table.path} (columns {table.listed}) fits no task; write a task.yaml with `task:` and `columns:`.")
    return found


def _guessed(table: Table, label: str | None, model: str | None) -> tuple[TaskType, dict[str, Any]] | None:
    kinds = sorted(task_types().values(), key=lambda kind: kind.precedence)
    config = None if model is None else base_config(model)
    for kind in kinds:
        if config is not None and not kind.suits(config):
            continue
        columns = kind.guess_columns(table, label)
        if columns is not None:
            return kind, columns
    return None


def _guessed_or_none(table: Table, model: str | None) -> tuple[TaskType, dict[str, Any]] | None:
    try:
        return _guessed(table, None, model)
    except UserError:
        return None


def _shape(table: Table, kind: TaskType, given: Mapping[str, Any]) -> tuple[str, ...] | None:
    """The first of the type's shapes that has all roles that are given, and of which the file has the other columns."""
    for shape in kind.shapes:
        if set(given) <= set(shape) and not _open(table, shape, given):
            return shape
    return None


def _open(table: Table, shape: Sequence[str], given: Mapping[str, Any]) -> list[str]:
    return [role for role in shape if role not in given and role not in table.columns]


def _listed(kind: TaskType) -> str:
    """Its shapes, without those that are another with one more role before it."""
    return " or ".join(", ".join(shape) for shape in kind.shapes if shape[1:] not in kind.shapes)


def _filled(table: Table, kind: TaskType, given: Mapping[str, Any]) -> dict[str, Any]:
    shape = _shape(table, kind, given)
    if shape is not None:
        return {role: given.get(role, role) for role in shape}
    if len(kind.shapes) > 1 and not kind.optional_roles:
        raise OtherData(
            f"{table.path} (columns {table.listed}) has not all columns of {kind.name}: {_listed(kind)}; say which they are "
            "with `columns:` in the task."
        )
    role = _open(table, kind.roles, given)[0]
    raise OtherData(
        f"{table.path} has no column {role!r}; say which of {table.listed} it is with `columns: {{{role}: …}}` in the task."
    )
