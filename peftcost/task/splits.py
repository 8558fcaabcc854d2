"""From a Task to validated train, dev and test splits that do not leak into each other."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from peftcost.data.builtin import PREFIX, builtin_table
from peftcost.data.readers import read_table
from peftcost.data.table import Table
from peftcost.errors import UserError
from peftcost.task.columns import check_columns_exist, fit_columns
from peftcost.task.sampling import hold_out, sample, split_sizes
from peftcost.task.task import Rows, Task, check_metric_name
from peftcost.tasks.base import Example, Metric, TaskType

SPLITS = ("train", "dev", "test")


@dataclass(frozen=True)
class TaskData:
    """What a task's files hold. columns: role -> column, inferred ones too. fingerprint: sha256 over the splits.

    warnings: what the user should know of the data (copies, contradictions, small splits), one sentence each.
    """

    task_type: TaskType
    columns: dict[str, str]
    labels: list[str]
    train: list[Example]
    dev: list[Example]
    test: list[Example]
    fingerprint: str
    warnings: list[str]
    metric: Metric
    margin: float


def load_task_data(task: Task, seed: int) -> TaskData:
    """Read, check, split and sample a task's data. A function of the files, the task and the seed alone.

    UserError, with file and row, for what is not usable. Splits that are not given are split off from train,
    stratified, with copies on one side; rows of train that also stand in a given dev or test split are dropped.
    """
    _check_files_differ(task)
    tables = {name: _read(path) for name, path in task.files.model_dump(exclude_none=True).items()}
    kind, columns = fit_columns(tables["train"], task.task, task.columns)
    for table in tables.values():
        check_columns_exist(table, columns)
    given = {name: kind.examples(table, columns) for name, table in tables.items()}
    metric = _metric(kind, task.metric)
    margin = task.margin if task.margin is not None else metric.default_margin
    where = f"{tables['train'].path}, column {columns[kind.roles[-1]]!r}"
    labels = checked_labels(kind, given["train"], metric.name, where)
    for name in ("dev", "test"):
        kind.check_known(given.get(name, []), labels, name)

    warnings = contradictions(kind, [example for name in given for example in given[name]])
    given, dropped = without_leaks(kind, given)
    splits, split_off = _split_off(kind, given, margin, seed)
    splits = _sampled(kind, splits, task.rows or Rows(), seed)
    for name in SPLITS:
        if not splits[name]:
            raise UserError(_nothing_left(name, tables["train"].path, dropped))
    if len({n for e in splits["train"] for n in kind.label_names(e)}) < 2:
        raise UserError(f"{where}: fewer than two labels are left for training; give more rows (or larger `rows`).")
    warnings += dropped + split_off
    return TaskData(
        kind, columns, labels, **splits, fingerprint=fingerprint(kind, splits), warnings=warnings, metric=metric,
        margin=margin,
    )  # fmt: skip


def contradictions(kind: TaskType, examples: Sequence[Example]) -> list[str]:
    """A warning when the same content stands with different labels."""
    first: dict[str, Example] = {}
    odd: dict[str, tuple[Example, Example]] = {}
    for example in examples:
        content = kind.content(example)
        before = first.setdefault(content, example)
        if kind.label_names(before) != kind.label_names(example):
            odd.setdefault(content, (before, example))
    if not odd:
        return []
    one, other = next(iter(odd.values()))
    return [
        f"{_count(len(odd), 'input stands', 'inputs stand')} with different labels in different rows (for example "
        f"{one['place']} and {other['place']}); no model can learn them all."
    ]


def without_leaks(kind: TaskType, given: dict[str, list[Example]]) -> tuple[dict[str, list[Example]], list[str]]:
    """The given splits with copies dropped: of test rows from dev and train, of dev rows from train; and warnings."""
    kept = dict(given)
    warnings = []
    for upper, lowers in (("test", ("dev", "train")), ("dev", ("train",))):
        if upper not in kept:
            continue
        seen = {kind.content(example) for example in kept[upper]}
        for lower in lowers:
            before = kept.get(lower, [])
            if lower not in kept:
                continue
            kept[lower] = [example for example in before if kind.content(example) not in seen]
            n = len(before) - len(kept[lower])
            if n:
                warnings.append(f"{_count(n, 'row', 'rows')} of {lower} also stood in {upper} and {_was(n)} dropped.")
    return kept, warnings


def fingerprint(kind: TaskType, splits: dict[str, list[Example]]) -> str:
    """sha256 over every split's inputs and labels, in order; where they stood does not matter."""
    digest = hashlib.sha256()
    for name in SPLITS:
        for example in splits[name]:
            values = [name, *(example[role] for role in kind.roles)]
            digest.update(json.dumps(values, ensure_ascii=True).encode() + b"\n")
    return digest.hexdigest()


def _check_files_differ(task: Task) -> None:
    by_file: dict[str, str] = {}
    for name, path in task.files.model_dump(exclude_none=True).items():
        key = path if path.startswith(PREFIX) else str(Path(path).resolve())
        if key in by_file:
            raise UserError(
                f"{by_file[key]} and {name} are the same data ({path}); give different files, or leave {name} out and "
                "it is split off."
            )
        by_file[key] = name


def _read(path: str) -> Table:
    return builtin_table(path) if path.startswith(PREFIX) else read_table(path)


def _metric(kind: TaskType, name: str | None) -> Metric:
    if name is None:
        return next(iter(kind.metrics.values()))
    check_metric_name(name, kind.name)
    return kind.metrics[name]


def checked_labels(kind: TaskType, train: Sequence[Example], metric: str, where: str) -> list[str]:
    """The label names; UserError if one cannot learn from them or they do not suit the metric. where: file, column."""
    try:
        labels = kind.labels(train)
        kind.check_metric(metric, labels)
    except UserError as error:
        raise UserError(f"{where}: {error}") from error
    return labels


def _split_off(
    kind: TaskType, given: dict[str, list[Example]], margin: float, seed: int
) -> tuple[dict[str, list[Example]], list[str]]:
    """All three splits; test is drawn before dev. Warns of copies in what was split, which stayed on one side."""
    pool = given["train"]
    splits = dict(given)
    missing = [name for name in ("test", "dev") if name not in given]
    if not missing:
        return splits, []
    dev, test = split_sizes(len(pool), margin, "dev" in missing, "test" in missing)
    copies = len(pool) - len({kind.content(example) for example in pool})
    for name, n in (("test", test), ("dev", dev)):
        if name not in missing:
            continue
        taken = set(
            hold_out(
                [kind.stratum(e) for e in pool],
                [kind.content(e) for e in pool],
                [kind.label_names(e) for e in pool],
                n,
                seed=(seed, SPLITS.index(name)),
            )
        )
        splits[name] = [example for i, example in enumerate(pool) if i in taken]
        pool = [example for i, example in enumerate(pool) if i not in taken]
    splits["train"] = pool
    if not copies:
        return splits, []
    return splits, [f"{_count(copies, 'row is a copy', 'rows are copies')} of another row; copies went to one split."]


def _sampled(kind: TaskType, splits: dict[str, list[Example]], rows: Rows, seed: int) -> dict[str, list[Example]]:
    found = {}
    for i, name in enumerate(SPLITS):
        examples = splits[name]
        chosen = sample([kind.stratum(e) for e in examples], getattr(rows, name), seed=(seed, len(SPLITS) + i))
        found[name] = [examples[at] for at in chosen]
    return found


def _nothing_left(name: str, path: str, dropped: Iterable[str]) -> str:
    because = " ".join(dropped)
    return f"{path}: too few different rows for the {name} split; add rows, or give a {name} file. {because}".rstrip()


def _count(n: int, one: str, many: str) -> str:
    return f"{n:,} {one if n == 1 else many}"


def _was(n: int) -> str:
    return "was" if n == 1 else "were"
