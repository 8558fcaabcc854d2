"""What a run's folder holds beside result.json that a report shows: learning curves, and the predictions of a setup."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from peftcost.errors import PeftcostError
from peftcost.report.by_method import best_by_method
from peftcost.report.numbers import Cell, quality
from peftcost.report.sentences import recommended_entry
from peftcost.store.learning_curve import learning_curve
from peftcost.store.run_folder import RunFolder
from peftcost.tasks import get_task_type
from peftcost.tasks.class_metrics import confusion
from peftcost.tasks.targets import Classes

MOST_POINTS = 200
"""Of a loss curve; more cannot be told apart on a page."""
MOST_CLASSES = 20
"""Of a confusion matrix; more cannot be read."""


@dataclass(frozen=True)
class LossCurve:
    """The training loss of a method's best setup, over the examples seen."""

    method: str
    id: str
    examples: list[int]
    losses: list[float]


@dataclass(frozen=True)
class ClassRow:
    """One class: of the examples called so, how many are (precision); of those that are, how many were called so (recall)."""

    name: str
    examples: int
    precision: Cell
    recall: Cell
    f1: Cell


@dataclass(frozen=True)
class ByClass:
    """The recommended setup by class. counts: true class by predicted class, for those shown; none where an example may have
    several. split: where the rows are of. counted: what a class is of, "rows" or "entities".
    left_out: how many classes are not shown."""

    split: str
    counted: str
    examples: int
    rows: list[ClassRow]
    counts: list[list[int]]
    left_out: int


def loss_curves(folder: Path, result: Mapping[str, Any]) -> list[LossCurve]:
    """One a method: of its best setup, in the seed that was measured first. Those that left no curve are passed over."""
    found = []
    for method, entry in best_by_method(result).items():
        try:
            curve = learning_curve(folder, entry["id"], entry["measurements"][0]["seed"])
        except (PeftcostError, KeyError, IndexError):
            continue
        batch = entry["hyperparameters"].get("batch_size", 1)
        every = -(-len(curve.steps) // MOST_POINTS) or 1
        if curve.steps:
            examples = [step * batch for step in curve.steps]
            found.append(LossCurve(method, entry["id"], examples[::every], curve.train_loss[::every]))
    return found


def by_class(folder: Path, result: Mapping[str, Any]) -> ByClass | None:
    """None where nothing is recommended, the rows are gone, or an example has not one class."""
    entry = recommended_entry(result)
    if entry is None:
        return None
    folders = trial_folders(folder, entry)
    for split, name in (("test", "test_rows.npy"), ("dev", "dev_rows.npy")):
        files = [trial / name for trial in folders if (trial / name).exists()]
        if files:
            kind, rows = get_task_type(result["task"]["task"]), np.load(files[0], allow_pickle=False)
            names = kind.class_names(Classes(tuple(result["task"].get("classes") or ())))
            pairs = kind.class_pairs(rows)
            counts = kind.class_counts(rows, len(names)) if pairs is None else confusion(pairs, len(names))
            if counts is None:
                return None
            counted = "entities" if kind.per_token else "rows"
            return class_rows(counts, names, split, counted, len(rows), is_confusion=pairs is not None)
    return None


def trial_folders(folder: Path, entry: Mapping[str, Any]) -> list[Path]:
    """Where the trials that stand for a setup lie: its confirmations, or what there is."""
    decisive = [m for m in entry["measurements"] if m["role"] == "confirm"] or entry["measurements"]
    return [RunFolder(folder).trial(entry["id"], m["seed"]) for m in decisive]


def class_rows(
    counts: np.ndarray, names: Sequence[str], split: str, counted: str, examples: int, is_confusion: bool
) -> ByClass:
    """counts: true class by predicted class; else those of `TaskType.class_counts`, where an example has not one class."""
    if is_confusion:
        true, called, hits = counts.sum(axis=1), counts.sum(axis=0), counts.diagonal()
    else:
        hits, called, true = counts.T
    shown = np.sort(np.argsort(-true, kind="stable")[:MOST_CLASSES])
    rows = [
        ClassRow(
            names[i] if i < len(names) else f"class {i}",
            int(true[i]),
            share(hits[i], called[i]),
            share(hits[i], true[i]),
            share(2 * hits[i], called[i] + true[i]),
        )
        for i in shown
    ]
    matrix = counts[np.ix_(shown, shown)].tolist() if is_confusion else []
    return ByClass(split, counted, examples, rows, matrix, len(counts) - len(shown))


def share(part: int, whole: int) -> Cell:
    return quality(part / whole if whole else None)
