"""What a report shows, as texts ready to print: one place that words and rounds, for HTML, Markdown and terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from peftcost.core.budget import spell_seconds
from peftcost.core.ledger import CATEGORIES
from peftcost.core.memory import spell_bytes

TEST_NAMES = {
    "recommended": "recommended",
    "best": "best observed on dev",
    "untuned": "untuned model (fresh head)",
    "majority": "majority class",
    "tfidf": "TF-IDF + logistic regression",
}


@dataclass(frozen=True)
class SetupRow:
    """One setup; empty texts where nothing was measured."""

    name: str
    method: str
    status: str
    reason: str
    choices: str
    quality: str
    interval: str
    half_width: str
    cost: str
    gpu_seconds: float | None
    memory: str
    process_memory: str
    latency: str
    artifact: str
    trainable: str
    seeds: str
    predicted: str
    on_front: bool
    recommended: bool
    quality_value: float | None
    peak_bytes: float | None


@dataclass(frozen=True)
class LedgerRow:
    category: str
    meaning: str
    gpu_seconds: float
    spent: str
    share: str


@dataclass(frozen=True)
class TestRow:
    name: str
    quality: str
    interval: str


@dataclass(frozen=True)
class View:
    """Everything that any of the reports shows."""

    title: str
    asked: str
    advice: str
    comparisons: list[str]
    confirmed: bool
    metric: str
    margin: float
    spent: str
    setups: list[SetupRow]
    tests: list[TestRow]
    test_rows: str
    ledger: list[LedgerRow]
    warnings: list[str]
    facts: list[tuple[str, str]]


def view_of(result: Mapping[str, Any]) -> View:
    """The view of a result.json."""
    task, budget, advice = result["task"], result["budget"], result["recommendation"]
    devices, tests = result["devices"], result["test"]
    rows = task["rows"]
    return View(
        title=f"{task['task']} with {task['model']}",
        asked=(
            f"Which way of fine-tuning {task['model']} for {task['task']} is the cheapest that is as good as the best? "
            f"{rows['train']} training rows, {rows['dev']} to compare on, {rows['test']} to test on; {task['metric']}, "
            f"with a margin of {task['margin']:g}. Budget: {spell_seconds(budget['limit_gpu_seconds'])} on "
            f"{devices['count']} x {devices['name']} ({devices['kind']}, {devices['threads']} threads each), "
            f"{spell_seconds(budget['spent_gpu_seconds'])} of it spent; stopped since {budget['stopped_because']}."
        ),
        advice=advice["because"] if advice else "No setup could be measured, so nothing is recommended.",
        comparisons=comparisons(result),
        confirmed=bool(advice and advice["confirmed"]),
        metric=task["metric"],
        margin=task["margin"],
        spent=spell_seconds(budget["spent_gpu_seconds"]),
        setups=[setup_row(entry, result) for entry in sorted(result["setups"], key=_by_cost)],
        tests=[test_row(name, tests[name]) for name in TEST_NAMES if tests and tests.get(name)],
        test_rows=str(rows["test"]),
        ledger=ledger_rows(result["ledger"]),
        warnings=list(result["warnings"]),
        facts=[
            ("command", result["command"]),
            ("data fingerprint", task["fingerprints"]["data"]),
            ("model fingerprint", task["fingerprints"]["model"]),
            ("started", result["started"]),
            ("ended", result["ended"]),
            *((name, version) for name, version in result["versions"].items()),
        ],
    )


def comparisons(result: Mapping[str, Any]) -> list[str]:
    """Sentences beside the recommendation: how sure, against full fine-tuning, and when the search has paid off."""
    advice = result["recommendation"]
    if not advice:
        return []
    low, high = advice["quality_interval"]
    found = [
        f"Its {result['task']['metric']} lies between {low:.3f} and {high:.3f} (95 %, over examples and seeds); the "
        f"probability that it is within {advice['margin']:g} of the best is {advice['probability_within_margin']:.0%}. "
        f"Differences above {advice['resolvable_difference']:.3f} could be told apart here."
    ]
    measured = [e for e in result["setups"] if e["status"] == "measured"]
    full = [e for e in measured if e["method"] == "full"]
    if full:
        best_full = max(full, key=lambda e: e["quality"])
        if best_full["id"] != advice["id"]:
            found.append(
                f"Full fine-tuning ({best_full['id']}) reaches {best_full['quality']:.3f}; the recommended setup takes "
                f"{advice['gpu_seconds'] / best_full['gpu_seconds']:.0%} of its time and "
                f"{advice['peak_bytes'] / best_full['peak_bytes']:.0%} of its memory."
            )
    best = max(measured, key=lambda e: e["quality"])
    saved = best["gpu_seconds"] - advice["gpu_seconds"]
    if saved > 0:
        times = -(-result["budget"]["spent_gpu_seconds"] // saved)
        found.append(f"Against the best observed, the search has paid for itself after {times:.0f} retrainings.")
    return found


def setup_row(entry: Mapping[str, Any], result: Mapping[str, Any]) -> SetupRow:
    """One setup as texts."""
    advice = result["recommendation"]
    measured = entry["status"] == "measured"
    measurements = entry["measurements"]
    confirm = sum(m["role"] == "confirm" for m in measurements)
    predicted = entry["predicted"]
    return SetupRow(
        name=entry["id"] or entry["method"],
        method=entry["method"],
        status=entry["status"],
        reason=entry["reason"] or "",
        choices=choices_of(entry, result["setups"]),
        quality=f"{entry['quality']:.3f}" if measured else "",
        interval=interval_of(entry["quality_interval"]) if measured else "",
        half_width=f"{(entry['quality_interval'][1] - entry['quality_interval'][0]) / 2:.3f}" if measured else "",
        cost=spell_seconds(entry["gpu_seconds"]) if measured else "",
        gpu_seconds=entry["gpu_seconds"],
        memory=spell_bytes(entry["peak_bytes"]) if measured else "",
        process_memory=spell_bytes(entry["process_peak_bytes"]) if measured and entry.get("process_peak_bytes") else "",
        latency=f"{1000 * entry['latency_seconds']:.1f} ms" if measured else "",
        artifact=spell_bytes(entry["artifact_bytes"]) if measured else "",
        trainable=f"{entry['trainable_parameters']:,}" if measured else "",
        seeds=f"{len(measurements) - confirm}+{confirm}" if measured else "",
        predicted=(
            f"{spell_seconds(predicted['gpu_seconds'])}, {spell_bytes(predicted['peak_bytes'])}" if predicted else ""
        ),
        on_front=entry["id"] in result["front"],
        recommended=bool(advice and entry["id"] == advice["id"]),
        quality_value=entry["quality"],
        peak_bytes=entry["peak_bytes"],
    )


def choices_of(entry: Mapping[str, Any], entries: Sequence[Mapping[str, Any]]) -> str:
    """The choices in which setups of this result differ, and how long it trains."""
    values: dict[str, set[str]] = {}
    for other in entries:
        for key, value in other["hyperparameters"].items():
            values.setdefault(key, set()).add(str(value))
    own_keys = {key for e in entries if e["method"] != entry["method"] for key in e["hyperparameters"]}
    shown = {
        key: value
        for key, value in entry["hyperparameters"].items()
        if (len(values[key]) > 1 or key not in own_keys) and value not in (None, False)
    }
    text = ", ".join(
        f"{key} {value:.3g}" if isinstance(value, float) else f"{key} {value}" for key, value in shown.items()
    )
    length = f"{entry['stop_examples']} examples" if entry["stop_examples"] else ""
    return "; ".join(part for part in (text, length) if part)


def interval_of(interval: Sequence[float]) -> str:
    return f"{interval[0]:.3f} to {interval[1]:.3f}"


def test_row(name: str, entry: Mapping[str, Any]) -> TestRow:
    return TestRow(TEST_NAMES[name], f"{entry['quality']:.3f}", interval_of(entry["quality_interval"]))


def ledger_rows(ledger: Mapping[str, float]) -> list[LedgerRow]:
    """Largest first; they sum to what was spent."""
    total = sum(ledger.values()) or 1.0
    ordered = sorted(ledger.items(), key=lambda item: -item[1])
    return [
        LedgerRow(name, CATEGORIES.get(name, ""), seconds, f"{seconds:.1f} s", f"{seconds / total:.0%}")
        for name, seconds in ordered
    ]


def _by_cost(entry: Mapping[str, Any]) -> tuple[bool, float]:
    return entry["gpu_seconds"] is None, entry["gpu_seconds"] or 0.0
