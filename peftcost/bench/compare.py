"""The comparison itself: against the reference, and each contender against each other. Pure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from peftcost.bench.cells import Cell, Cells, Comparison
from peftcost.bench.ranks import Ranks, ranks_of
from peftcost.report.changes import LEVEL

SCHEMA_VERSION = 1
REFERENCE = "full"
"""The method that the others are held against: what people would do without thinking about cost."""


@dataclass(frozen=True)
class Standing:
    """A contender over the tasks in which it and the reference were measured. quality_difference: the mean one, against the
    reference; time_ratio, memory_ratio: geometric means. wins, ties, losses: tasks in which it is shown to be better than the
    reference, neither, worse. mean_rank: None where it is not measured in all tasks."""

    contender: str
    tasks: int
    mean_rank: float | None
    mean_quality: float
    quality_difference: float | None
    time_ratio: float | None
    memory_ratio: float | None
    wins: int
    ties: int
    losses: int


def verdict(one: Cell, other: Cell) -> int:
    """1 where the first is shown to be better, -1 worse, 0 neither: the 95 % interval of the paired difference, over examples
    and seeds, holds zero."""
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(one.values - other.values, [tail, 1 - tail])
    return 1 if low > 0 else -1 if high < 0 else 0


def complete_contenders(comparison: Comparison) -> list[str]:
    """Those that were measured in every task."""
    return [c.key for c in comparison.contenders if all((task.name, c.key) in comparison.cells for task in comparison.tasks)]


def reference_of(comparison: Comparison, ranks: Ranks | None) -> str | None:
    """The first full fine-tuning that was measured in every task, else the best there is."""
    complete = complete_contenders(comparison)
    full = [c.key for c in comparison.contenders if c.method == REFERENCE and c.key in complete]
    if full or not complete:
        return full[0] if full else None
    if ranks is not None:
        return next(iter(ranks.means))
    return max(complete, key=lambda key: math.fsum(comparison.cells[task.name, key].quality for task in comparison.tasks))


def facts_of(comparison: Comparison) -> dict[str, Any]:
    """The whole of bench.json: what was measured, and what follows from it."""
    tasks, cells = [task.name for task in comparison.tasks], comparison.cells
    complete = complete_contenders(comparison)
    ranks = ranks_of({key: [cells[task, key].quality for task in tasks] for key in complete})
    reference = reference_of(comparison, ranks)
    standings = [
        found
        for contender in comparison.contenders
        if (found := standing(contender.key, tasks, cells, reference, ranks)) is not None
    ]
    order = {found.contender: i for i, found in enumerate(sorted(standings, key=place))}
    return {
        "schema_version": SCHEMA_VERSION,
        "title": comparison.title,
        "source": comparison.source,
        **comparison.facts,
        "tasks": [asdict(task) for task in comparison.tasks],
        "contenders": [asdict(contender) for contender in comparison.contenders],
        "reference": reference,
        "ranks": None if ranks is None else asdict(ranks),
        "standings": [asdict(found) for found in sorted(standings, key=lambda found: order[found.contender])],
        "cells": [cell_facts(task, key, cell, cells.get((task, str(reference)))) for (task, key), cell in cells.items()],
        "wins": wins(sorted(complete, key=lambda key: order[key]), tasks, cells),
        "trainings": [asdict(training) for training in comparison.trainings],
    }


def place(found: Standing) -> tuple[bool, float, float]:
    """Best first; what was not measured everywhere last."""
    return found.mean_rank is None, found.mean_rank or 0.0, -found.mean_quality


def standing(key: str, tasks: Sequence[str], cells: Cells, reference: str | None, ranks: Ranks | None) -> Standing | None:
    """None for what was measured nowhere. The rank in a single task is the quality's, and told by it."""
    own = [task for task in tasks if (task, key) in cells]
    if not own:
        return None
    both = [
        (cells[task, key], cells[task, reference]) for task in own if reference is not None and (task, reference) in cells
    ]
    verdicts = [verdict(one, other) for one, other in both]
    return Standing(
        contender=key,
        tasks=len(own),
        mean_rank=None if ranks is None else ranks.means.get(key),
        mean_quality=statistics.fmean(cells[task, key].quality for task in own),
        quality_difference=statistics.fmean(a.quality - b.quality for a, b in both) if both else None,
        time_ratio=ratio([(a.gpu_seconds, b.gpu_seconds) for a, b in both]),
        memory_ratio=ratio([(a.peak_bytes, b.peak_bytes) for a, b in both]),
        wins=verdicts.count(1),
        ties=verdicts.count(0),
        losses=verdicts.count(-1),
    )


def ratio(pairs: Sequence[tuple[float | None, float | None]]) -> float | None:
    """The geometric mean of the ratios; None where one is not known."""
    logs = [math.log(a / b) for a, b in pairs if a and b]
    return math.exp(statistics.fmean(logs)) if logs and len(logs) == len(pairs) else None


def cell_facts(task: str, key: str, cell: Cell, reference: Cell | None) -> dict[str, Any]:
    return {
        "task": task,
        "contender": key,
        "setup": cell.setup,
        "quality": cell.quality,
        "quality_interval": list(cell.interval),
        "gpu_seconds": cell.gpu_seconds,
        "peak_bytes": cell.peak_bytes,
        "latency_seconds": cell.latency_seconds,
        "seeds": cell.seeds,
        "against_reference": None if reference is None else verdict(cell, reference),
    }


def wins(keys: Sequence[str], tasks: Sequence[str], cells: Cells) -> dict[str, Any]:
    """order: the contenders. table: in how many tasks that of the row is shown to be better than that of the column."""
    verdicts = [[[verdict(cells[task, a], cells[task, b]) for task in tasks] if a != b else [] for b in keys] for a in keys]
    return {"order": list(keys), "table": [[found.count(1) for found in row] for row in verdicts]}
