"""Inputs without labels, for predicting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from peftcost.data.guess import check_columns_exist
from peftcost.data.readers import read_table
from peftcost.data.table import Table
from peftcost.tasks import get_task_type
from peftcost.tasks.base import Example


def read_inputs(path: str | Path, task: str, columns: Mapping[str, str]) -> list[Example]:
    """The unlabelled examples of a data file; no label column is needed or looked at.

    The columns are the task's, or those called like their roles (text, tokens). UserError with file, row and column.
    """
    return inputs_of(read_table(path), task, columns)


def inputs_of(table: Table, task: str, columns: Mapping[str, str]) -> list[Example]:
    """As `read_inputs`, of a table."""
    kind = get_task_type(task)
    chosen = [_chosen(kind.inputs_of_shape(shape), table, columns) for shape in (columns, *kind.shapes)]
    found = next((some for some in chosen if set(some.values()) <= set(table.columns)), chosen[0])
    check_columns_exist(table, found)
    return kind.read(table, found, labelled=False)


def _chosen(roles: Sequence[str], table: Table, columns: Mapping[str, str]) -> dict[str, str]:
    """The column of each role: the task's, or the one that is called like the role."""
    names = {role: columns.get(role, role) for role in roles}
    return {role: role if name not in table.columns and role in table.columns else name for role, name in names.items()}
