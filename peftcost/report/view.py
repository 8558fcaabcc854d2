"""What a report shows, ready to print: one place that decides it for HTML, Markdown, the picture and the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from peftcost.core.ledger import CATEGORIES
from peftcost.report import numbers, sentences
from peftcost.report.advice import advice
from peftcost.report.choices import choices_of, common_choices, varied
from peftcost.report.numbers import Cell

TEST_NAMES = {
    "recommended": "recommended",
    "best": "best on dev",
    "untuned": "untuned model",
}


@dataclass(frozen=True)
class SetupRow:
    """One setup; figures are unknown where nothing was measured. label: its name in the picture, if it gets one."""

    id: str
    method: str
    status: str
    reason: str
    choices: str
    label: str
    on_front: bool
    recommended: bool
    quality: Cell
    low: Cell
    high: Cell
    cost: Cell
    predicted_cost: Cell
    memory: Cell
    predicted_memory: Cell
    process_memory: Cell
    latency: Cell
    artifact: Cell
    trainable: Cell
    trainable_share: str
    seeds: str

    @property
    def verdict(self) -> str:
        return "recommended" if self.recommended else "best trade-off" if self.on_front else ""


@dataclass(frozen=True)
class TestRow:
    """A model on the test split; start, width and at place its interval on a strip, as shares of the strip."""

    name: str
    setup: str
    quality: Cell
    low: Cell
    high: Cell
    start: float
    width: float
    at: float


@dataclass(frozen=True)
class WrittenRow:
    """A model, and the scores of what it wrote, in the order of their names; of each its value, and its interval."""

    name: str
    scores: list[tuple[Cell, Cell, Cell]]


@dataclass(frozen=True)
class WrittenTexts:
    """What models wrote on a part of the test split. told: how it came about, in a sentence."""

    metrics: list[str]
    rows: list[WrittenRow]
    told: str


@dataclass(frozen=True)
class LedgerRow:
    category: str
    meaning: str
    spent: Cell
    share: str


@dataclass(frozen=True)
class View:
    """Everything that any of the reports shows. run: the run's folder, as it is typed. left: budget that was not spent,
    unknown when there was no limit."""

    run: str
    title: str
    subtitle: str
    question: str
    particulars: list[tuple[str, str]]
    headline: str
    status: str
    confirmed: bool
    advice: list[str]
    beside: list[str]
    policy: str
    metric: str
    margin: float
    cost_word: str
    best_quality: float | None
    measured: list[SetupRow]
    others: list[SetupRow]
    common: str
    tests: list[TestRow]
    test_rows: int
    written: WrittenTexts | None
    ledger: list[LedgerRow]
    ledger_total: Cell
    spent: Cell
    left: Cell
    warnings: list[str]
    facts: list[tuple[str, str]]
    command: str


def view_of(result: Mapping[str, Any], run: str = "RUN") -> View:
    """The view of a result.json. run: the run's folder, as it is typed.

    Raises KeyError when it lacks a field of schema version 1.
    """
    task, budget, told = result["task"], result["budget"], result["recommendation"]
    keys, named = varied(_tried(result)), labels(result)
    rows = [setup_row(entry, result, keys, named.get(entry["id"], "")) for entry in result["setups"]]
    best = sentences.best_entry(result)
    return View(
        run=run,
        title=sentences.title(result),
        subtitle=f"{sentences.data_text(result)} · {numbers.moment(result['started'])}",
        question=sentences.question(result),
        particulars=sentences.particulars(result),
        headline=sentences.headline(result),
        status="Confirmed" if told and told["confirmed"] else "Not confirmed" if told else "No recommendation",
        confirmed=bool(told and told["confirmed"]),
        advice=advice(result, run),
        beside=sentences.beside(result),
        policy=sentences.policy_text(result),
        metric=task["metric"],
        margin=task["margin"],
        cost_word=sentences.cost_word(result),
        best_quality=best["quality"] if best else None,
        measured=sorted((row for row in rows if row.status == "measured"), key=lambda row: row.cost.known),
        others=[row for row in rows if row.status != "measured"],
        common=common_choices(_tried(result)),
        tests=test_rows(result),
        test_rows=task["rows"]["test"],
        written=written_texts(result),
        ledger=ledger_rows(result["ledger"]),
        ledger_total=numbers.seconds(sum(result["ledger"].values())),
        spent=numbers.seconds(budget["spent_gpu_seconds"]),
        left=_left(budget),
        warnings=[str(text) for text in result["warnings"]],
        facts=facts(result),
        command=result["command"] or numbers.UNKNOWN,
    )


def setup_row(entry: Mapping[str, Any], result: Mapping[str, Any], keys: set[str], label: str) -> SetupRow:
    """One setup. keys: the choices that are told; label: its name in the picture."""
    advice, measurements, predicted = result["recommendation"], entry["measurements"], entry["predicted"] or {}
    explore = sum(m["role"] == "explore" for m in measurements)
    low, high = entry["quality_interval"] or (None, None)
    trainable, total = entry["trainable_parameters"], entry["total_parameters"]
    return SetupRow(
        id=entry["id"] or entry["method"],
        method=entry["method"],
        status=entry["status"],
        reason=entry["reason"] or "",
        choices=choices_of(entry, keys),
        label=label,
        on_front=entry["id"] in result["front"],
        recommended=bool(advice and entry["id"] == advice["id"]),
        quality=numbers.quality(entry["quality"]),
        low=numbers.quality(low),
        high=numbers.quality(high),
        cost=numbers.seconds(entry["gpu_seconds"]),
        predicted_cost=numbers.seconds(predicted.get("gpu_seconds")),
        memory=numbers.size(entry["peak_bytes"]),
        predicted_memory=numbers.size(predicted.get("peak_bytes")),
        process_memory=numbers.size(sentences.process_bytes(entry)),
        latency=numbers.milliseconds(entry["latency_seconds"]),
        artifact=numbers.size(entry["artifact_bytes"]),
        trainable=numbers.count(trainable),
        trainable_share=numbers.small_percent(trainable / total) if trainable and total else "",
        seeds=f"{explore} + {len(measurements) - explore}" if measurements else "",
    )


def labels(result: Mapping[str, Any]) -> dict[str, str]:
    """Names in the picture, few enough to read: one setup of each method, the recommended and the best among them."""
    advised, best = sentences.recommended_entry(result), sentences.best_entry(result)
    named: dict[str, str] = {}
    for method in dict.fromkeys(entry["method"] for entry in sentences.measured_entries(result)):
        own = [entry for entry in sentences.measured_entries(result) if entry["method"] == method]
        named[max(own, key=lambda e: e["quality"])["id"]] = method
    if best:
        named[best["id"]] = f"{best['method']}, best"
    if advised:
        if advised["id"] not in named:
            named = {i: text for i, text in named.items() if text != advised["method"]}
        named[advised["id"]] = f"{advised['method']}, recommended"
    return named


def test_rows(result: Mapping[str, Any]) -> list[TestRow]:
    """The models on the test split; the best is left out where it is the recommended one."""
    tests = {name: entry for name, entry in (result["test"] or {}).items() if entry}
    if not tests:
        return []
    advised, best = sentences.recommended_entry(result), sentences.best_entry(result)
    ids = {"recommended": advised["id"] if advised else "", "best": best["id"] if best else ""}
    names = TEST_NAMES | {name: entry["title"] for name, entry in tests.items() if entry.get("title")}
    if "recommended" in tests and ids["recommended"] == ids["best"]:
        tests.pop("best", None)
        names["recommended"] = "recommended, also the best on dev"
    low = min(entry["quality_interval"][0] for entry in tests.values())
    span = max(entry["quality_interval"][1] for entry in tests.values()) - low or 1.0
    return [
        TestRow(
            name=text,
            setup=ids.get(name, ""),
            quality=numbers.quality(tests[name]["quality"]),
            low=numbers.quality(tests[name]["quality_interval"][0]),
            high=numbers.quality(tests[name]["quality_interval"][1]),
            start=(tests[name]["quality_interval"][0] - low) / span,
            width=(tests[name]["quality_interval"][1] - tests[name]["quality_interval"][0]) / span,
            at=(tests[name]["quality"] - low) / span,
        )
        for name, text in names.items()
        if name in tests
    ]


def written_texts(result: Mapping[str, Any]) -> WrittenTexts | None:
    """The scores of what models wrote; None where nothing was."""
    found = result.get("written")
    if not found:
        return None
    models = {name: found[name] for name in ("recommended", "untuned") if found.get(name)}
    rows = [WrittenRow(TEST_NAMES[name], [_score(s) for s in scores.values()]) for name, scores in models.items()]
    n, of = found["rows"], result["task"]["rows"]["test"]
    share = f"all {n:,} test rows" if n == of else f"{n:,} of the {of:,} test rows, from the shortest answer to the longest"
    told = f"What models write for {share}: at most {found['new_tokens']:,} tokens, the likeliest one at each step."
    return WrittenTexts(list(next(iter(models.values()), {})), rows, told)


def _score(score: Mapping[str, Any]) -> tuple[Cell, Cell, Cell]:
    low, high = score["quality_interval"]
    return numbers.quality(score["quality"]), numbers.quality(low), numbers.quality(high)


def ledger_rows(ledger: Mapping[str, float]) -> list[LedgerRow]:
    """Largest first, without what is zero; they sum to what was spent."""
    total = sum(ledger.values()) or 1.0
    return [
        LedgerRow(name, CATEGORIES.get(name, ""), numbers.seconds(spent), numbers.percent(spent / total))
        for name, spent in sorted(ledger.items(), key=lambda item: -item[1])
        if spent > 0
    ]


def facts(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What the result depends on."""
    prints, versions = result["task"]["fingerprints"], result["versions"]
    found = [
        ("data fingerprint", prints["data"]),
        ("model fingerprint", prints["model"]),
        ("versions", ", ".join(f"{name} {version}" for name, version in versions.items())),
    ]
    return [(name, str(value)) for name, value in found if value]


def _tried(result: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return [entry for entry in result["setups"] if entry["hyperparameters"]]


def _left(budget: Mapping[str, Any]) -> Cell:
    left = budget["limit_gpu_seconds"] - budget["spent_gpu_seconds"]
    return numbers.seconds(left) if 0 <= left < float("inf") else Cell()
