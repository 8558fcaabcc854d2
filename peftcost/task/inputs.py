"""Inputs without labels, for predicting."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from peftcost.data.readers import read_table
from peftcost.task.columns import check_columns_exist
from peftcost.tasks import get_task_type


def read_inputs(path: str | Path, task: str, columns: Mapping[str, str]) -> list[Any]:
    """The texts, or the lists of tokens, of a data file; no label column is needed or looked at.

    The column is the task's, or the one called like its role (text, tokens). UserError with file, row and column.
    """
    kind = get_task_type(task)
    role = kind.roles[0]
    table = read_table(path)
    column = columns.get(role, role)
    if column not in table.columns and role in table.columns:
        column = role
    check_columns_exist(table, {role: column})
    return kind.inputs(table, column)
