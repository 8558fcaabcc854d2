"""What the page shows beyond the other reports, ready to print; and its data for the interactive figures."""

from __future__ import annotations

import shlex
import statistics
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from peftcost.core.percent import percent
from peftcost.report.by_method import Figures, MethodRow, common_length, figures, is_measured, method_rows
from peftcost.report.examples import NOTHING_HIDDEN, OnDev, Shown, on_dev
from peftcost.report.importance import Importance, importances
from peftcost.report.marks import Mark, mark_of, outline
from peftcost.report.numbers import epochs
from peftcost.report.run_files import ByClass, LossCurve, by_class, loss_curves
from peftcost.report.steps import Step, steps_of
from peftcost.report.view import SetupRow, View


@dataclass(frozen=True)
class Page:
    """rows: the measured setups, best first. common: the length, in examples, at which the most methods were measured.
    low, high: the ends of all methods' intervals. order: of each method's mark. intervals, words, stops: by setup."""

    methods: list[MethodRow]
    common: int | None
    common_epochs: str
    low: float
    high: float
    has_readings: bool
    steps: list[Step]
    rows: list[SetupRow]
    intervals: dict[str, Figures]
    words: dict[str, str]
    stops: dict[str, int]
    marks: dict[str, Mark]
    outlines: dict[str, str]
    order: dict[str, int]
    predicted: str
    importances: list[Importance]
    losses: list[LossCurve]
    classes: ByClass | None
    on_dev: OnDev | None


def page_of(view: View, result: Mapping[str, Any], folder: Path | None = None, shown: Shown = NOTHING_HIDDEN) -> Page:
    """folder: the run's, for what lies beside its result; without it, that is left out. shown: of the data."""
    measured = [entry for entry in result["setups"] if is_measured(entry)]
    methods, train_rows = method_rows(result), result["task"]["rows"]["train"]
    marks = {row.method: mark_of(row.method) for row in methods}
    stop = common_length(measured)
    ends = [
        cell.known for row in methods if row.best and row.best.low.value is not None for cell in (row.best.low, row.best.high)
    ]
    told = {entry["id"]: figures(entry, train_rows) for entry in measured}
    return Page(
        methods=methods,
        common=stop,
        common_epochs="" if stop is None else epochs(stop, train_rows),
        low=min(ends, default=0.0),
        high=max(ends, default=0.0),
        has_readings=any(row.reading.value is not None for row in told.values()),
        steps=steps_of(result),
        rows=sorted((row for row in view.measured if row.id in told), key=lambda row: -row.quality.known),
        intervals=told,
        words={setup_id: row.words for setup_id, row in told.items()},
        stops={entry["id"]: entry["stop_examples"] for entry in measured},
        marks=marks,
        outlines={method: outline(mark.shape) for method, mark in marks.items()},
        order={method: number for number, method in enumerate(marks)},
        predicted=predicted_text(view),
        importances=importances(result),
        losses=[] if folder is None else loss_curves(folder, result),
        classes=None if folder is None else by_class(folder, result),
        on_dev=None if folder is None else on_dev(folder, result, shown),
    )


def page_data(page: Page, view: View, result: Mapping[str, Any]) -> dict[str, Any]:
    """What the scripts read."""
    lineages: dict[str, int] = {}
    for entry in result["setups"]:
        lineages.setdefault(entry["lineage"], len(lineages))
    of = {entry["id"]: lineages[entry["lineage"]] for entry in result["setups"]}
    rows = [facts_of(row, page, of[row.id]) for row in page.rows]
    return {
        "run": shlex.quote(view.run),
        "metric": view.metric,
        "margin": view.margin,
        "cost_word": view.cost_word,
        "methods": {row.method: asdict(page.marks[row.method]) for row in page.methods if row.best},
        "columns": list(rows[0]) if rows else [],
        "rows": [list(row.values()) for row in rows],
        "losses": [asdict(curve) for curve in page.losses],
    }


def facts_of(row: SetupRow, page: Page, lineage: int) -> dict[str, Any]:
    """A measured setup for the figures; numbers as exactly as they can be drawn."""
    cells = {
        "quality": row.quality,
        "low": row.low,
        "high": row.high,
        "reading": page.intervals[row.id].reading,
        "time": row.cost,
        "memory": row.memory,
        "latency": row.latency,
        "predicted_time": row.predicted_cost,
        "predicted_memory": row.predicted_memory,
    }
    return {
        "id": row.id,
        "method": row.method,
        "words": page.words[row.id],
        "lineage": lineage,
        "examples": page.stops[row.id],
        **{name: None if cell.value is None else float(f"{cell.value:.6g}") for name, cell in cells.items()},
        "front": int(row.on_front),
        "recommended": int(row.recommended),
    }


def predicted_text(view: View) -> str:
    """How far predictions were off, in one sentence; empty without any."""
    pairs = {
        view.cost_word: [(r.predicted_cost, r.cost) for r in view.measured],
        "peak memory": [(r.predicted_memory, r.memory) for r in view.measured],
    }
    told = []
    for name, found in pairs.items():
        errors = [abs(p.known / m.known - 1) for p, m in found if p.value and m.value]
        if errors:
            told.append(f"{name} by {percent(statistics.median(errors))} in the median, {percent(max(errors))} at most")
    return f"Predictions missed {'; '.join(told)}." if told else ""
