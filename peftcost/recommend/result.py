"""Builds the result of a run (its fields: `schema`) from its state and its rows."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from peftcost.core.front import front
from peftcost.core.measurement import Measurement, timed_undisturbed
from peftcost.core.setup import Setup, method_of, model_of
from peftcost.core.statistics import Replicates, quality_interval, with_interval
from peftcost.recommend.policies import Evidence, Recommendation
from peftcost.recommend.schema import Result, SetupResult
from peftcost.searcher.forecast import BudgetForecast
from peftcost.searcher.spec import SearchSpec
from peftcost.searcher.state import SearchState
from peftcost.task.task import Task
from peftcost.tasks import Metric, TaskType
from peftcost.tasks.targets import Classes


def build_result(
    events: Sequence[Mapping[str, Any]],
    state: SearchState,
    task: Mapping[str, Any],
    entries: Sequence[Mapping[str, Any]],
    recommendation: Recommendation | None,
    more: BudgetForecast | None,
    tests: Mapping[str, Any] | None,
    answers: Mapping[str, Any] | None = None,
    more_rows: Mapping[str, Any] | None = None,
) -> Result:
    """The whole of result.json. events: the journal's; task: its first part; more: what the same budget again would bring;
    answers: the part `written`; more_rows: what as many training rows again would bring."""
    opened = next(event for event in events if event["event"] == "opened")
    first = opened["devices"][0]
    fields = {
        "task": dict(task),
        "devices": {"count": len(opened["devices"])} | {name: first[name] for name in ("kind", "name", "threads")},
        "budget": {
            "limit_gpu_seconds": state.limit_gpu_seconds,
            "spent_gpu_seconds": state.ledger.spent(),
            "stopped_because": state.stopped_because,
        },
        "ledger": state.ledger.totals(),
        "setups": list(entries),
        "front": front_of(entries),
        "recommendation": None
        if recommendation is None
        else {**asdict(recommendation), "twice_the_budget": more and more.as_dict(), "twice_the_rows": more_rows},
        "test": tests,
        "written": answers,
        "warnings": warnings_of(state, tests),
        "versions": opened["versions"],
        "command": opened["command"],
        "started": events[0]["utc"],
        "ended": events[-1]["utc"],
    }
    return Result.model_validate(fields)


def task_facts(spec: SearchSpec, task: Task) -> dict[str, Any]:
    """The task part of result.json. task: the spec's, with paths as the run's folder tells them."""
    data = spec.data
    return {
        "model": task.model,
        "data": task.model_dump(mode="json")["data"],
        "task": data.task_type.name,
        "columns": dict(data.columns),
        "metric": data.metric.name,
        "metric_options": data.metric.options,
        "margin": data.margin,
        "seed": spec.seed,
        "targets": data.targets.describe(),
        "classes": list(data.targets.names) if isinstance(data.targets, Classes) else [],
        "fingerprints": spec.fingerprints,
        "rows": {"train": len(data.train), "dev": len(data.dev), "test": len(data.test)},
    }


def warnings_of(state: SearchState, tests: Mapping[str, Any] | None) -> list[str]:
    """What was noticed on the way, and what the measurements themselves say."""
    found = list(state.warnings)
    disturbed = [t for t in state.measured() if t.measured.contended]
    quiet = {t.setup.id for t in state.measured() if t not in disturbed}
    if disturbed:
        only = len({t.setup.id for t in disturbed} - quiet)
        left_out = "their times are left out" if not only else f"{plural_setups(only)} no other times, and these are too long"
        found.append(
            f"{len(disturbed)} of {len(state.measured())} measurements were taken while other programs used the "
            f"processor; {left_out}."
        )
    found += baseline_warnings(tests)
    return found


def plural_setups(n: int) -> str:
    return "1 setup has" if n == 1 else f"{n} setups have"


def baseline_warnings(tests: Mapping[str, Any] | None) -> list[str]:
    """A trivial model that does as well as the fine-tuned one is something to know."""
    if not tests or not tests.get("recommended"):
        return []
    quality = tests["recommended"]["quality"]
    trivial = [entry for entry in tests.values() if entry and "title" in entry]
    as_good = "is as good as the recommended setup ({:.3f}): it may be all that this task needs."
    better = "reaches {:.3f}, the recommended setup {:.3f}: train longer (a larger budget), on more rows, or use that."
    return [
        f"On the test split {e['title']} " + (as_good if e["quality"] == quality else better).format(e["quality"], quality)
        for e in trivial
        if e["quality"] >= quality
    ]


def setup_entries(state: SearchState, replicates: Replicates | None) -> list[dict[str, Any]]:
    """One entry a setup, measured or not; means are over the seeds that speak for it."""
    entries = [measured_entry(state, setup, replicates) for setup in state.setups().values()]
    tried = {setup.arm for setup in state.setups().values()}
    for status, reasons in (("infeasible", state.infeasible), ("skipped", state.skipped)):
        entries += [bare_entry(arm, status, reason) for arm, reason in reasons.items() if arm not in tried]
    passed_over = [arm for arm in state.arms if arm not in {*tried, *state.infeasible, *state.skipped}]
    return entries + [bare_entry(arm, "skipped", "other setups promised more for the budget") for arm in passed_over]


def measured_entry(state: SearchState, setup: Setup, replicates: Replicates | None) -> dict[str, Any]:
    """The entry of a setup that has at least one trial. quality: what it is expected to be on all of dev; its interval is
    about that. reading: the mean of what was read, on a sample of dev perhaps."""
    trials = state.trials_of(setup.id)
    measurements = [t.measurement for t in trials if t.measurement is not None]
    entry = {
        "id": setup.id,
        **setup.as_dict(),
        "lineage": setup.lineage,
        "status": "measured" if measurements else "infeasible" if any(t.infeasible for t in trials) else "failed",
        "reason": None if measurements else next((t.reason for t in trials if t.reason), "not finished"),
        "measurements": [m.as_dict() for m in measurements],
        "predicted": {name: getattr(trials[0].predicted, name) for name in ("gpu_seconds", "peak_bytes")},
    }
    if not measurements:
        return entry | dict.fromkeys((*READINGS, *FIGURES))
    decisive = [trial.measured for trial in state.decisive(setup.id)]
    reading, interval = mean_of(decisive, "quality"), None
    quality = reading
    if replicates is not None and setup.id in replicates.observed:
        quality, interval = replicates.as_expected.observed[setup.id], quality_interval(replicates, setup.id)
    timed = timed_undisturbed(decisive)
    means = {name: mean_of(timed if name in TIMES else decisive, name) for name in FIGURES}
    return entry | means | {"quality": quality, "quality_interval": interval, "reading": reading}


READINGS = ("quality", "quality_interval", "reading")
TIMES = ("gpu_seconds", "latency_seconds")
FIGURES = (*TIMES, "peak_bytes", "process_peak_bytes", "artifact_bytes", "trainable_parameters", "total_parameters")


def mean_of(measurements: Sequence[Measurement], name: str) -> float | int:
    """Mean of one figure; whole numbers (bytes, counts) stay whole."""
    values = [getattr(m, name) for m in measurements]
    mean = statistics.fmean(values)
    return round(mean) if all(isinstance(v, int) for v in values) else mean


def bare_entry(arm: str, status: str, reason: str) -> dict[str, Any]:
    """The entry of a method, on one of several bases perhaps, of which nothing was started."""
    model = model_of(arm)
    choices = {} if model is None else {"model": model}
    known = {"method": method_of(arm), "hyperparameters": choices, "status": status, "reason": reason, "measurements": []}
    return known | dict.fromkeys(("id", "stop_examples", "lineage", "predicted", *READINGS, *FIGURES))


def front_of(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    """The front over the setups' means."""
    measured = [entry for entry in entries if entry["status"] == "measured"]
    return front({e["id"]: (e["quality"], e["gpu_seconds"], float(e["peak_bytes"])) for e in measured})


def evidence_of(setups: Iterable[SetupResult]) -> list[Evidence]:
    """What the policies need to know of each measured setup."""
    found = []
    for setup in setups:
        if setup.status == "measured":
            assert setup.id is not None and setup.quality is not None
            assert setup.gpu_seconds is not None and setup.peak_bytes is not None
            fresh_seeds = sum(m.role == "confirm" for m in setup.measurements)
            facts = setup.quality, setup.gpu_seconds, setup.peak_bytes, fresh_seeds
            found.append(Evidence(setup.id, *facts, setup.words))
    return found


def test_entry(
    rows_file: Path, metric: Metric, seed: int, replicates: int = 2000, copies: np.ndarray | None = None
) -> dict[str, Any]:
    """Quality on the test split with its 95 % bootstrap interval over examples. copies: among these."""
    rows = np.load(rows_file)
    quality, *interval = with_interval(rows, metric.compute, metric.limits, replicates, seed, copies)
    return {"quality": quality, "quality_interval": interval, "n": len(rows)}


def written_scores(rows_file: Path, kind: TaskType, seed: int, copies: np.ndarray | None = None) -> dict[str, Any]:
    """Each metric on what a model has written, with its 95 % bootstrap interval over examples. copies: among these."""
    return {name: test_entry(rows_file, metric, seed, copies=copies) for name, metric in kind.written_metrics.items()}
