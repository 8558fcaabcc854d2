"""From a Task to validated train, dev and test splits that do not leak into each other."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from peftcost.data.builtin import PREFIX, builtin_table
from peftcost.data.guess import check_columns_exist, shown, unused_columns
from peftcost.data.hub_files import HUB
from peftcost.data.readers import read_table
from peftcost.data.split_folder import passed_over, splits_of_folder
from peftcost.data.table import Table
from peftcost.errors import UserError, did_you_mean
from peftcost.task.check import (
    SPLITS,
    alike_but_for_case,
    contradictions,
    copies_within,
    count,
    count_copies,
    doubtful_classes,
    lookalikes,
    unjudged,
    was,
)
from peftcost.task.columns import fit_columns
from peftcost.task.metric import judged_by
from peftcost.task.rows import GROUP, TIME, told_in_short, usable_rows, with_order
from peftcost.task.sampling import hold_out, latest, sample, split_sizes, together
from peftcost.task.task import Rows, Shares, Task
from peftcost.tasks.base import Example, Metric, TaskType
from peftcost.tasks.targets import Targets


@dataclass(frozen=True)
class TaskData:
    """What a task's files hold. columns: role -> column, inferred ones too. fingerprint: sha256 over the splits.

    warnings: what the user should know of the data (copies, contradictions, small splits) and what was decided without
    being asked, one sentence each. rejected: the rows that were left out. unused: columns of train that play no role.
    whole: rows of each split of which the task's `rows` took a part. asked: rows that were to be split off from train.
    """

    task_type: TaskType
    columns: dict[str, Any]
    targets: Targets
    train: list[Example]
    dev: list[Example]
    test: list[Example]
    fingerprint: str
    warnings: list[str]
    metric: Metric
    margin: float
    rejected: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    whole: dict[str, int] = field(default_factory=dict)
    asked: dict[str, int] = field(default_factory=dict)

    @property
    def fingerprints(self) -> dict[str, str]:
        """Of the data, and of the file of the user's own metric."""
        file = (self.metric.options or {}).get("sha256")
        return {"data": self.fingerprint} | ({"metric": str(file)} if file else {})

    @property
    def simplest_rows(self) -> np.ndarray | None:
        """What the simplest baseline says of dev, as `predict` gives rows; None where there is none."""
        simplest = next(iter(self.task_type.baselines().values()), None)
        return None if simplest is None else simplest.rows(self.train, self.dev, self.targets)


def load_task_data(task: Task, seed: int) -> TaskData:
    """Read, check, split and sample a task's data. A function of the files, the task and the seed alone.

    UserError, with file and row, for what is not usable (OtherData for columns and labels). Splits that are not given are
    split off from train, stratified, with copies on one side; rows of train that also stand in a given dev or test split are
    dropped.
    """
    _check_files_differ(task)
    tables = {name: _read(path, task) for name, path in files_of(task).items()}
    kind, columns = fit_columns(tables["train"], task.task, task.columns, task.models[0])
    given, rejected = {}, []
    read = partial(_examples, kind=kind, columns=columns, task=task)
    for name in tables:
        check_columns_exist(tables[name], columns | _order_columns(task))
        given[name], _, told = usable_rows(read, tables[name], bool(task.skip_bad_rows))
        rejected += told
        tables[name] = replace(tables[name], rows=[], lines=[])  # they take as much memory as the examples
    targets, metric, why_metric = judged_by(
        kind, task.metric, given["train"], tables["train"].path, columns, task.place_of("metric")
    )
    margin = margin_of(task, metric)
    for name in ("dev", "test"):
        kind.check_targets(given.get(name, []), targets, name)

    path = _own_path(task)
    notes = task.guessed + (passed_over(path) if path is not None else [])
    notes += [note for table in tables.values() for note in table.notes] + why_metric
    everything = [example for name in given for example in given[name]]
    warnings = notes + told_in_short(rejected) + contradictions(kind, everything) + kind.doubts(everything)
    given, dropped = without_leaks(kind, given)
    splits, split_off, asked = _split_off(kind, given, margin, seed, task)
    whole = {name: len(splits[name]) for name in SPLITS}
    splits = _sampled(kind, splits, task.rows or Rows(), seed)
    for name in SPLITS:
        if not splits[name] and not (name == "test" and without_test(task)):
            raise UserError(_nothing_left(name, tables, task, dropped))
    if not kind.can_learn(splits["train"]):
        where = f"{tables['train'].path}, column {shown(list(columns.values())[-1])}"
        raise UserError(f"{where}: fewer than two labels are left for training; give more rows (or larger `rows`).")
    warnings += dropped + split_off + lookalikes(targets) + ([] if kind.per_token else doubtful_classes(targets))
    warnings += unjudged(kind, splits, metric.name) + alike_but_for_case(kind, splits)
    return TaskData(
        kind, columns, targets, **splits, fingerprint=fingerprint(kind, splits), warnings=warnings, metric=metric,
        margin=margin, rejected=rejected, unused=unused_columns(tables["train"], columns | _order_columns(task)),
        whole=whole, asked=asked,
    )  # fmt: skip


def without_test(task: Task) -> bool:
    """Whether the task asks for no test split."""
    return task.splits is not None and task.splits.test == 0


def without_leaks(kind: TaskType, given: dict[str, list[Example]]) -> tuple[dict[str, list[Example]], list[str]]:
    """The splits without rows of dev and train whose input or group stands in test, and of train whose stands in dev; and
    warnings."""
    kept = dict(given)
    warnings = []
    for upper, lowers in (("test", ("dev", "train")), ("dev", ("train",))):
        if upper not in kept:
            continue
        seen = {key for example in kept[upper] for key in _keys(kind, example)}
        for lower in lowers:
            before = kept.get(lower, [])
            if lower not in kept:
                continue
            kept[lower] = [example for example in before if seen.isdisjoint(_keys(kind, example))]
            n = len(before) - len(kept[lower])
            if n:
                what = "or their group " if any(GROUP in example for example in before) else ""
                warnings.append(f"{count(n, 'row', 'rows')} of {lower} {what}also stood in {upper} and {was(n)} dropped.")
    return kept, warnings


def _keys(kind: TaskType, example: Example) -> set[tuple[str, str]]:
    """What must not stand in two splits."""
    content = {("content", kind.content(example))}
    return content | {(GROUP, example[GROUP])} if GROUP in example else content


def fingerprint(kind: TaskType, splits: dict[str, list[Example]]) -> str:
    """sha256 over every split's inputs and labels, in order; where they stood does not matter."""
    digest = hashlib.sha256()
    for name in SPLITS:
        for example in splits[name]:
            values = [name, *(example[role] for role in (*kind.roles, *kind.optional_roles) if role in example)]
            digest.update(json.dumps(values, ensure_ascii=True).encode() + b"\n")
    return digest.hexdigest()


def _check_files_differ(task: Task) -> None:
    by_file: dict[str, str] = {}
    for name, path in task.files.model_dump(exclude_none=True).items():
        key = path if path.startswith((PREFIX, HUB)) else str(Path(path).resolve())
        if key in by_file:
            raise UserError(
                f"{by_file[key]} and {name} are the same data ({path}); give different files, or leave {name} out and "
                "it is split off."
            )
        by_file[key] = name


def _own_path(task: Task) -> Path | None:
    """The one file or folder of the user's own that the task names; None for several, and for others' data."""
    return Path(task.data) if isinstance(task.data, str) and not task.data.startswith((PREFIX, HUB)) else None


def files_of(task: Task) -> dict[str, str]:
    """The file of each split; those of a folder with several splits, where the task names the folder alone."""
    path = _own_path(task)
    return (splits_of_folder(path) if path is not None else {}) or task.files.model_dump(exclude_none=True)


def _read(path: str, task: Task) -> Table:
    return builtin_table(path) if path.startswith(PREFIX) else read_table(path, bool(task.skip_bad_rows))


def margin_of(task: Task, metric: Metric) -> float:
    """The task's margin, or else its metric's. UserError where the metric's whole range lies within it."""
    if task.margin is None:
        return metric.default_margin
    low, high = metric.limits
    if task.margin >= high - low:
        raise UserError(
            f"the margin {task.margin:g} takes in all values of {metric.name}, from {low:g} to {high:g}; "
            f"give a smaller one, as {metric.default_margin:g}."
        )
    return task.margin


def column_by_place(task: Task, column: str) -> dict[str, str]:
    """What stands in a column of the data, by the example's place. UserError where no file has the column."""
    tables = [_read(path, task) for path in files_of(task).values()]
    having = [table for table in tables if column in table.columns]
    if not having:
        names = ", ".join(repr(name) for name in tables[0].columns)
        near = did_you_mean(column, list(tables[0].columns))
        raise UserError(f"{tables[0].path} has no column {column!r}.{near} It has {names}.")
    return {table.place(i): str(row.get(column, "")) for table in having for i, row in enumerate(table.rows)}


def _order_columns(task: Task) -> dict[str, str]:
    return {key: column for key, column in ((GROUP, task.group), (TIME, task.time)) if column is not None}


def _examples(table: Table, kind: TaskType, columns: dict[str, Any], task: Task) -> list[Example]:
    examples = kind.read(table, columns)
    return with_order(examples, table, task) if _order_columns(task) else examples


def _split_off(
    kind: TaskType, given: dict[str, list[Example]], margin: float, seed: int, task: Task
) -> tuple[dict[str, list[Example]], list[str], dict[str, int]]:
    """All three splits, warnings of copies in what was split, which stayed on one side, and how many rows were asked for of
    each split that was split off. Test is drawn before dev."""
    pool = given["train"]
    splits = dict(given)
    missing = [name for name in ("test", "dev") if name not in given]
    told = [text for name in given if name != "train" or not missing for text in copies_within(kind, given[name], name)]
    if not missing:
        return splits, told, {}
    shares = task.splits or Shares()
    dev, test = split_sizes(len(pool), margin, "dev" in missing, "test" in missing, shares.dev, shares.test)
    if task.splits is not None and len(pool) <= dev + test:
        raise UserError(
            f"{count(dev + test, 'row', 'rows')} cannot be split off from {len(pool):,} and leave some to train on; "
            "ask for fewer in `splits` (or with --gate-rows)."
        )
    copies = count_copies(kind, pool)
    asked = {name: n for name, n in (("test", test), ("dev", dev)) if name in missing}
    for name, n in asked.items():
        taken = _taken(kind, pool, n, (seed, SPLITS.index(name)))
        splits[name] = [example for i, example in enumerate(pool) if i in taken]
        pool = [example for i, example in enumerate(pool) if i not in taken]
    splits["train"] = pool
    if task.time is not None:  # copies may stand at several times: the later one counts
        splits, dropped = without_leaks(kind, splits)
        return splits, told + dropped, asked
    if copies:
        told.append(f"{count(copies, 'row is a copy', 'rows are copies')} of another row; copies went to one split.")
    return splits, told, asked


def _taken(kind: TaskType, pool: Sequence[Example], n: int, seed: Sequence[int]) -> set[int]:
    """Which of the examples a split takes: the latest, or a stratified sample; what belongs together goes together."""
    if pool and TIME in pool[0]:
        return set(latest([example[TIME] for example in pool], n))
    belongs = [kind.content(e) for e in pool]
    if pool and GROUP in pool[0]:
        belongs = list(map(str, together(belongs, [e[GROUP] for e in pool])))
    strata, labels = [kind.stratum(e) for e in pool], [kind.classes_of(e) for e in pool]
    return set(hold_out(strata, belongs, labels, n, seed=seed))


def _sampled(kind: TaskType, splits: dict[str, list[Example]], rows: Rows, seed: int) -> dict[str, list[Example]]:
    found = {}
    for i, name in enumerate(SPLITS):
        examples = splits[name]
        chosen = sample([kind.stratum(e) for e in examples], getattr(rows, name), seed=(seed, len(SPLITS) + i))
        found[name] = [examples[at] for at in chosen]
    return found


def _nothing_left(name: str, tables: dict[str, Table], task: Task, dropped: Iterable[str]) -> str:
    because, path = " ".join(dropped), tables[name if name in tables else "train"].path
    no_row, are_split_off = f"{path}: no row is left for the {name} split", len(tables) < len(SPLITS)
    if are_split_off and task.group and task.time:
        return (
            f"{no_row}, since the latest rows by {task.time!r} are held out, and none before them may share a {task.group!r} "
            "with them; leave out `group` or `time`, or ask for smaller `splits`."
        )
    if name not in tables and task.group:
        return (
            f"{no_row}, since rows of the same {task.group!r} stay together, and none of these groups fits in; ask for a "
            f"larger share in `splits`, or give a {name} file."
        )
    if name in tables:
        return f"{no_row}; add rows that stand in no other split. {because}".rstrip()
    return f"{path}: too few different rows for the {name} split; add rows, or give a {name} file. {because}".rstrip()
