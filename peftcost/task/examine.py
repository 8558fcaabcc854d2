"""Looks at a task's data before anything is spent: what `peftcost check` tells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from peftcost.data.fingerprint import read_fields, resolve_model
from peftcost.errors import EnvironmentFailure, UserError
from peftcost.task.check import SPLITS, class_counts
from peftcost.task.lengths import NO_LIMIT, input_length, only_width, sample_of
from peftcost.task.scripts import Tokenized, tokenized, told
from peftcost.task.splits import TaskData, files_of, load_task_data
from peftcost.task.task import Task

LARGEST_CLASSES = 200
"""Classes that are counted; of more (tags, say) the most frequent."""


@dataclass(frozen=True)
class Checked:
    """unused: columns that play no role. rows: of each split, as used. whole: of each split before the task's `rows` took a
    part. asked: rows that were to be split off from train; there may be others where rows go together. given: the splits that
    have a file of their own. files: of each of these. group, time: the columns that the task splits by.
    classes: name -> examples of it in each split. tokens: how the first base's tokenizer sees the training rows. inputs:
    what there is to tell of other inputs, one line each. rejected: rows left out."""

    task: str
    columns: dict[str, Any]
    unused: list[str]
    metric: str
    margin: float
    rows: dict[str, int]
    whole: dict[str, int]
    asked: dict[str, int]
    given: list[str]
    files: dict[str, str]
    group: str | None
    time: str | None
    classes: dict[str, dict[str, int]]
    tokens: Tokenized | None
    inputs: list[str]
    rejected: list[str]
    warnings: list[str]

    @property
    def shares(self) -> dict[str, float]:
        """Of all rows used, those of each split."""
        total = sum(self.rows.values())
        return {name: n / total for name, n in self.rows.items()}


def examine(task: Task, seed: int = 0) -> Checked:
    """Read, split and judge the task's data; nothing is trained. UserError for the first row that cannot be used, unless the
    task says skip_bad_rows."""
    data = load_task_data(task, seed)
    files, splits = files_of(task), {name: getattr(data, name) for name in SPLITS}
    counts = {name: class_counts(data.task_type, examples) for name, examples in splits.items()}
    total = sum(counts.values(), start=counts["train"].copy())
    names = [name for name, _ in total.most_common(LARGEST_CLASSES)]
    seen: Tokenized | None = None
    problems: list[str] = []
    for model in () if data.task_type.one_size else task.models[:1]:
        try:
            seen, problems = _looked_at(data, model, task.max_length)
        except (UserError, EnvironmentFailure) as error:
            problems = [f"The texts were not looked at with the base's tokenizer: {error}"]
    return Checked(
        task=data.task_type.name,
        columns=data.columns,
        unused=data.unused,
        metric=data.metric.name,
        margin=data.margin,
        rows={name: len(examples) for name, examples in splits.items()},
        whole=data.whole,
        asked=data.asked,
        given=[name for name in SPLITS if name in files],
        files=files,
        group=task.group,
        time=task.time,
        classes={label: {name: counts[name][label] for name in SPLITS} for label in names},
        tokens=seen,
        inputs=data.task_type.facts([example for examples in splits.values() for example in examples]),
        rejected=data.rejected,
        warnings=data.warnings + problems,
    )


def _looked_at(data: TaskData, model: str, max_length: int | None) -> tuple[Tokenized | None, list[str]]:
    """How the base's tokenizer sees a sample of the training rows, and warnings.

    Where a model is to write, rows are measured as in a training. One that no training takes is told, and texts are measured
    alone."""
    kind, folder = data.task_type, resolve_model(model)
    some = [data.train[i] for i in sample_of(len(data.train))]
    lengths, problems = None, []
    if kind.generates and (folder / "tokenizer.json").exists():
        try:
            lengths = kind.encode(kind.processor(str(folder)), some, data.targets, NO_LIMIT).lengths
        except UserError as error:
            problems = [f"{model} cannot be trained on these rows: {error}"]
    if not kind.generates and (folder / "config.json").exists():
        config = read_fields(folder / "config.json", "give a whole base")
        input_length(config, model, max_length, usual=1, positions=NO_LIMIT)
        if only := only_width(config):
            problems.append(f"{model} takes inputs of {only} tokens alone: each text is filled up, and costs as much.")
    seen = tokenized([kind.all_text(example) for example in some], folder, max_length, lengths)
    return seen, problems + (told(seen, model) if seen is not None else [])
