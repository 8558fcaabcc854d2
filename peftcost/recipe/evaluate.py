"""Judges a trained folder on labelled rows: quality with its interval, by class, against what the recipe promises."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError
from scipy.stats import binomtest

from peftcost.core.statistics import with_interval
from peftcost.data.readers import read_table
from peftcost.data.table import Table
from peftcost.data.yaml_file import problems_of
from peftcost.errors import UserError
from peftcost.recipe.gate import Bar, Interval, asked_bars, check_min_quality, interval_on, promised_bars, too_low
from peftcost.recipe.predict import damaged, predicted_rows, read_card
from peftcost.recipe.recipe import Expected
from peftcost.recipe.trained_on import trained_on
from peftcost.task.check import copies_of, copies_within, count
from peftcost.task.inputs import labelled_of
from peftcost.task.rows import usable_rows
from peftcost.tasks import Example, Metric, TaskType, get_task_type
from peftcost.tasks.class_metrics import confusion
from peftcost.tasks.named_metric import metric_of
from peftcost.tasks.targets import Classes, Targets, targets_from

INTERVAL_ROWS = 10
"""Fewer rows, resampled, show far less than how much chance there is in them."""


@dataclass(frozen=True)
class ClassFigures:
    """One class; of words with tags, one kind of entity, whose entities are counted. rows: that are of it. predicted: that
    were called so. recall: of the rows of it, those called so, with its 95 % interval (Wilson's); precision: of those called
    so, the rows of it. None where there are none."""

    name: str
    rows: int
    predicted: int
    recall: float | None
    recall_interval: Interval | None
    precision: float | None
    f1: float | None


@dataclass(frozen=True)
class Evaluated:
    """quality: the metric that the model was trained for, with its 95 % bootstrap interval over rows. metrics: this and the
    task type's others. None where these rows give no value, or no interval; a metric's `reason` says why. confusion: true
    class -> predicted class -> rows, where each row has one class. promised_interval: where the recipe's promise lies for so
    many new rows, if it makes one. broken_promises: a sentence each. rejected: rows that were left out."""

    data: str
    rows: int
    metric: str
    quality: float | None
    quality_interval: Interval | None
    metrics: dict[str, dict[str, Any]]
    classes: list[ClassFigures]
    confusion: dict[str, dict[str, int]]
    promised_interval: Interval | None
    broken_promises: list[str]
    rejected: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """As JSON holds it."""
        return asdict(self)


def evaluate(
    folder: Path,
    data: str | Path,
    report: Mapping[str, Any],
    skip_bad_rows: bool = False,
    min_quality: float | None = None,
    devices: str | None = None,
) -> Evaluated:
    """Predict the labelled rows of a file (or of standard input, "-") and judge the predictions.

    report: what training.json says, with the recipe's promise. min_quality: what the caller asks for, whatever the recipe
    promises. UserError for rows that cannot be used, or have labels that the model does not know, unless such are skipped.
    """
    card = read_card(folder)
    info = card["dataset_info"]
    kind, targets = get_task_type(info["task"]), targets_from(info["targets"])
    own = metric_of(kind, info["metric"], info.get("metric_options"))
    check_min_quality(min_quality, own)
    table = read_table(data, skip_bad_rows)
    examples, _, rejected = usable_rows(
        partial(known, kind=kind, targets=targets, columns=card["columns"]), table, skip_bad_rows
    )
    seen = trained_on(folder, kind, examples, f"these {count(len(examples), 'row', 'rows')}")
    rows, copies = predicted_rows(folder, card, examples, devices), copies_of(kind, examples)
    metrics = {metric.name: figures(metric, rows, copies) for metric in (own, *others(kind, targets, own.name))}
    main = metrics[own.name]
    promised = None
    if "expected" in report:
        promised = interval_on(expected_of(report, folder), len(rows), own.limits)
    return Evaluated(
        data=table.path,
        rows=len(rows),
        metric=info["metric"],
        quality=main["quality"],
        quality_interval=main["quality_interval"],
        metrics=metrics,
        classes=by_class(kind, rows, targets),
        confusion=confusion_of(kind, rows, targets),
        promised_interval=promised,
        broken_promises=not_reached(info["metric"], main, promised_bars(promised) + asked_bars(min_quality)),
        rejected=rejected,
        notes=table.notes + copies_within(kind, examples, "these") + seen,
    )


def expected_of(report: Mapping[str, Any], folder: Path) -> Expected:
    """What training.json says of the recipe's promise. UserError where that is damaged."""
    try:
        return Expected.model_validate(report["expected"])
    except ValidationError as error:
        raise damaged(folder / "training.json", f"expected: {problems_of(error)}") from error


def known(table: Table, kind: TaskType, targets: Targets, columns: Mapping[str, Any]) -> list[Example]:
    """The labelled examples of a table. UserError for a label that the model does not know."""
    examples = labelled_of(table, kind, columns)
    kind.check_targets(examples, targets, "evaluated")
    return examples


def others(kind: TaskType, targets: Targets, name: str) -> list[Metric]:
    """The task type's other metrics, of those that make sense for these targets without further options."""
    found = []
    for metric in kind.metrics.values():
        with contextlib.suppress(UserError):
            kind.check_metric(metric.name, targets)
            found += [metric] if metric.name != name else []
    return found


def figures(metric: Metric, rows: np.ndarray, copies: np.ndarray | None = None) -> dict[str, Any]:
    """Quality and its 95 % interval; None for what these rows do not tell, and the reason. copies: among the rows."""
    undefined = metric.undefined(rows)
    if undefined:
        return {"quality": None, "quality_interval": None, "reason": f"undefined: {undefined}"}
    quality, low, high = with_interval(rows, metric.compute, metric.limits, copies=copies)
    reason = no_interval(len(rows) if copies is None else int(copies.max()) + 1, low, high)
    return {"quality": quality, "quality_interval": None if reason else (low, high), "reason": reason}


def not_reached(name: str, figures: Mapping[str, Any], bars: Sequence[Bar]) -> list[str]:
    """A sentence for each bar that a metric does not reach, or cannot be held to."""
    if figures["quality"] is not None:
        return too_low(name, figures["quality"], bars)
    return [f"{name} is {figures['reason']}, so it cannot be held to the {bar.text}." for bar in bars]


def no_interval(rows: int, low: float, high: float) -> str | None:
    """Why the ends of a bootstrap interval tell nothing, or None: resampling shows only what differs between rows."""
    if rows < INTERVAL_ROWS:
        return f"no interval: {count(rows, 'row is', 'different rows are')} too few, it takes {INTERVAL_ROWS}"
    return "no interval: all rows count alike, so resampling them shows nothing" if low == high else None


def by_class(kind: TaskType, rows: np.ndarray, targets: Targets) -> list[ClassFigures]:
    """The figures of each class, in the classes' order; none where the task type has no classes to be told apart."""
    names = kind.class_names(targets)
    counts = kind.class_counts(rows, len(names))
    return [] if counts is None else [class_figures(name, *map(int, row)) for name, row in zip(names, counts, strict=True)]


def class_figures(name: str, right: int, predicted: int, rows: int) -> ClassFigures:
    interval = None
    if rows:
        found = binomtest(right, rows).proportion_ci(method="wilson")
        interval = (float(found.low), float(found.high))
    return ClassFigures(
        name,
        rows,
        predicted,
        right / rows if rows else None,
        interval,
        right / predicted if predicted else None,
        2 * right / (rows + predicted) if rows + predicted else None,
    )


def confusion_of(kind: TaskType, rows: np.ndarray, targets: Targets) -> dict[str, dict[str, int]]:
    """True class -> predicted class -> rows."""
    pairs = kind.class_pairs(rows)
    if pairs is None or not isinstance(targets, Classes):
        return {}
    names, counts = targets.names, confusion(pairs, len(targets)).tolist()
    return {name: dict(zip(names, row, strict=True)) for name, row in zip(names, counts, strict=True)}
