"""The Task that a Python caller means: by a file, by its fields, or by data alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from peftcost.data.in_memory import files_of
from peftcost.errors import UserError
from peftcost.task.task import Task, absolute_paths, load_task, validate_task


def given_task(
    task: Task | Mapping[str, Any] | str | Path | None,
    data: Any,
    label: str | None,
    model: str | list[str] | None,
    folder: Path,
) -> Task:
    """Read the task; rows that are in memory are written into the folder.

    Args:
        task: A Task, its fields, a task.yaml, `builtin:NAME` or a data file. None: what fits the data.
        data: In place of the task's: what `files_of` takes.
        label: The column of labels, where there is no task beside the data.
        model: In place of the task's.
        folder: For rows that are in memory.

    Raises:
        UserError: For what is missing, unknown or does not go together.
    """
    if task is None and data is None:
        raise UserError("There is neither a task nor data; give task= or data=.")
    if label is not None and isinstance(task, Task | Mapping):
        raise UserError(f"label= is for data without a task; write the task's columns as {{'label': {label!r}}}.")
    one = model if isinstance(model, str) else None
    files = None if data is None else files_of(data, folder)
    if isinstance(task, Mapping):
        fields = dict(task)
        if files is None and "data" in fields:
            files = files_of(fields["data"], folder)
    else:
        if task is None and files is not None:
            task = load_task(files if isinstance(files, str) else train_of(files), label, model=one)
        elif isinstance(task, str | Path):
            task = load_task(task, label, model=one)
        assert isinstance(task, Task)
        fields = task.model_dump(exclude_none=True)
    instead = {"data": files, "model": model}
    fields |= {name: value for name, value in instead.items() if value is not None}
    meant = validate_task(fields, "task")
    if isinstance(task, Task):
        meant = meant.with_guessed(task.guessed).of_file(task.file)
    return absolute_paths(meant, Path.cwd())


def train_of(files: Mapping[str, str]) -> str:
    """The file to train on. UserError without one."""
    if "train" not in files:
        raise UserError(f"data has {', '.join(files) or 'no splits'}, but nothing to train on; add 'train'.")
    return files["train"]
