"""Inputs without labels, for predicting."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from peftcost.data.guess import check_columns_exist
from peftcost.data.readers import read_table
from peftcost.tasks import get_task_type
from peftcost.tasks.base import Example


def read_inputs(path: str | Path, task: str, columns: Mapping[str, str]) -> list[Example]:
    """The unlabelled examples of a data file; no label column is needed or looked at.

    The columns are the task's, or those called like their roles (text, tokens). UserError with file, row and column.
    """
    kind = get_task_type(task)
    table = read_table(path)
    chosen = {role: columns.get(role, role) for role in kind.input_roles}
    chosen = {role: role if name not in table.columns and role in table.columns else name for role, name in chosen.items()}
    check_columns_exist(table, chosen)
    return kind.read(table, chosen, labelled=False)
