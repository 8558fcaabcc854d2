"""Inputs without labels, for predicting."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from peftcost.data.guess import check_columns_exist, names_of
from peftcost.data.readers import read_table
from peftcost.data.table import Table
from peftcost.tasks import get_task_type
from peftcost.tasks.base import Columns, Example, TaskType


def read_inputs(path: str | Path, task: str, columns: Columns) -> list[Example]:
    """The unlabelled examples of a data file; no label column is needed or looked at.

    The columns are the task's, or those called like their roles (text, tokens). UserError with file, row and column.
    """
    return inputs_of(read_table(path), task, columns)


def inputs_of(table: Table, task: str, columns: Columns) -> list[Example]:
    """As `read_inputs`, of a table."""
    kind = get_task_type(task)
    asked = {role for role in kind.optional_roles if role in columns}
    shapes = [shape for shape in (tuple(columns), *kind.shapes) if asked <= set(shape)]
    chosen = [_chosen(kind.inputs_of_shape(shape), table, columns) for shape in shapes]
    found = next((some for some in chosen if set(names_of(some.values())) <= set(table.columns)), chosen[0])
    check_columns_exist(table, found)
    return kind.read(table, found, labelled=False)


def _chosen(roles: Sequence[str], table: Table, columns: Columns) -> dict[str, Any]:
    """The column of each role: the task's, or the one that is called like the role."""
    given = {role: columns.get(role, role) for role in roles}
    return {
        role: role if role in table.columns and not set(names_of([name])) <= set(table.columns) else name
        for role, name in given.items()
    }


def labelled_of(table: Table, kind: TaskType, columns: Columns) -> list[Example]:
    """The labelled examples of a table, from the task's columns or those called like their roles. UserError with file, row
    and column."""
    found = _chosen(tuple(columns), table, columns)
    check_columns_exist(table, found)
    return kind.read(table, found)
