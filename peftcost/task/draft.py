"""Drafts a task.yaml from a look at a data file."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from peftcost.core.one_line import one_line
from peftcost.data.readers import read_table
from peftcost.errors import UserError
from peftcost.task.columns import guess_columns
from peftcost.task.commented import COMMENTS
from peftcost.task.splits import checked_labels
from peftcost.task.task import DEFAULT_MODEL, Task, task_yaml
from peftcost.tasks.base import Example, TaskType

CHOICES = {
    "margin": "# margin: 0.01  # quality that you would give up for a cheaper setup",
    "methods": "# methods: [full, frozen, lora]  # or all; left out: the few that usually win",
    "max_length": "# max_length: 128  # tokens at which inputs are cut",
    "rows": "# rows: {train: 2000}  # use a part of the data",
}


def draft_task_yaml(path: str | Path, label: str | None = None, folder: Path | None = None) -> str:
    """A task.yaml for a data file, guessed from a look at it; what else can be said stands there as comments.

    folder: where the task.yaml will lie (default: the working directory); the data's path is relative to it.
    """
    table = read_table(path)
    kind, columns = guess_columns(table, label)
    data = os.path.relpath(path, folder or Path())
    examples = kind.examples(table, columns)
    labels, metric = _labels_and_metric(kind, examples, f"{path}, column {columns[kind.roles[-1]]!r}")
    task = Task(model=DEFAULT_MODEL, task=kind.name, data=data, columns=columns, metric=metric)
    shown = ", ".join(labels[:10]) + (", …" if len(labels) > 10 else "")
    metrics = " | ".join(kind.metrics)
    return (
        f"# Drafted by `peftcost init` from {len(examples)} rows. Labels ({len(labels)}): {one_line(shown)}\n"
        "# Check it, then: peftcost search --budget 10gpu-min\n"
        + task_yaml(task).replace(COMMENTS["metric"], metrics)
        + "\n"
        + "".join(f"{line}\n" for line in CHOICES.values())
    )


def _labels_and_metric(kind: TaskType, examples: list[Example], where: str) -> tuple[list[str], str]:
    """The labels and the first metric that suits them."""
    *preferred, last = kind.metrics
    for metric in preferred:
        with contextlib.suppress(UserError):
            return checked_labels(kind, examples, metric, where), metric
    return checked_labels(kind, examples, last, where), last
