"""Drafts a task.yaml from a look at a data file."""

from __future__ import annotations

import os
from pathlib import Path

from peftcost.core.one_line import one_line
from peftcost.data.guess import listed, shown, told_of_label, unused_columns
from peftcost.data.hub_files import is_hub_file
from peftcost.data.readers import read_table
from peftcost.data.split_folder import train_file
from peftcost.task.columns import guess_columns
from peftcost.task.commented import COMMENTS
from peftcost.task.metric import judged_by
from peftcost.task.task import Task, task_yaml

CHOICES = {
    "methods": "# methods: [full, frozen, lora]  # or all; left out: the few that usually win",
    "max_length": "# max_length: 128  # tokens at which inputs are cut",
    "rows": "# rows: {train: 2000}  # use a part of the data",
    **{
        name: f"# {name}: {example}  # {COMMENTS[name]}"
        for name, example in (
            ("splits", "{dev: 0.2, test: 0.2}"),
            ("group", "user_id"),
            ("time", "written_at"),
            ("skip_bad_rows", "true"),
        )
    },
}


def draft_task_yaml(path: str | Path, label: str | None = None, folder: Path | None = None, model: str | None = None) -> str:
    """A task.yaml for a data file (one on the hub, too), guessed from a look at it; what else can be said stands there as
    comments.

    folder: where the task.yaml will lie (default: the working directory); the data's path is relative to it. model:
    the base, if it is known.
    """
    table = read_table(train_file(path))
    kind, columns = guess_columns(table, label, model)
    data = str(path) if is_hub_file(path) else os.path.relpath(path, folder or Path())
    examples = kind.read(table, columns)
    targets, found, why = judged_by(kind, None, examples, str(path), columns)
    metric = found.name
    task = Task(model=model or kind.default_model, task=kind.name, data=data, columns=columns, metric=metric)
    metrics = " | ".join(kind.metrics)
    unused = unused_columns(table, columns)
    notes = [*table.notes, kind.otherwise(table, columns), *kind.odd_cells(table, columns)]
    notes += told_of_label(table, columns) if label is None else []
    notes += kind.doubts(examples)
    seen = ", ".join(f"{shown(column)} looks like the {role}" for role, column in columns.items())
    return (
        f"# Drafted by `peftcost init` from {len(examples)} rows. {targets.describe()}\n"
        f"# {kind.name}, since {one_line(seen)}\n"
        + (f"# Not used: {one_line(listed(unused))}\n" if unused else "")
        + "".join(f"# {one_line(note)}\n" for note in notes if note)
        + f"# {one_line(why[0] if why else f'{metric} is the usual metric of {kind.name}')}\n"
        "# Next: peftcost check, then peftcost search, which prints three budgets for this machine\n"
        + task_yaml(task).replace(COMMENTS["metric"], metrics)
        + "\n"
        + f"# margin: {found.default_margin:g}  # quality that you would give up for a cheaper setup\n"
        + "".join(f"{line}\n" for name, line in CHOICES.items() if not (kind.one_size and name == "max_length"))
    )
