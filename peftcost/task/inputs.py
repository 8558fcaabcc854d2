"""Inputs without labels, for predicting."""

from __future__ import annotations

from collections.abc import Mapping
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
    chosen = {role: columns.get(role, role) for role in kind.input_roles}
    chosen = {role: role if name not in table.columns and role in table.columns else name for role, name in chosen.items()}
    check_columns_exist(table, chosen)
    return kind.read(table, chosen, labelled=False)
