"""One line a method: its best setup, at a common length and at its best, or why there is none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from peftcost.core.setup_words import setup_words
from peftcost.report import numbers
from peftcost.report.numbers import Cell

Entry = Mapping[str, Any]


@dataclass(frozen=True)
class Figures:
    """What one setup reaches, and takes. reading: what was read, where the quality is estimated from more than that."""

    id: str
    words: str
    examples: int
    epochs: str
    quality: Cell
    low: Cell
    high: Cell
    reading: Cell
    cost: Cell
    memory: Cell
    seeds: int
    contended: bool


@dataclass(frozen=True)
class MethodRow:
    """best: the recommended setup in the row of its method, else that of the best quality; common: the best at the common
    length. Both None where nothing was measured, which `reason` explains."""

    method: str
    best: Figures | None
    common: Figures | None
    recommended: bool
    reason: str
    tried: int


def method_rows(result: Mapping[str, Any]) -> list[MethodRow]:
    """Best quality first; what was not measured last, in the order in which it was asked for."""
    advised = (result["recommendation"] or {}).get("id")
    stop = common_length(result["setups"])
    names = dict.fromkeys(entry["method"] for entry in result["setups"])
    rows = [method_row(name, result, advised, stop) for name in names]
    return sorted(rows, key=lambda row: -(row.best.quality.known if row.best else float("-inf")))


def method_row(method: str, result: Mapping[str, Any], advised: str | None, stop: int | None) -> MethodRow:
    own = [entry for entry in result["setups"] if entry["method"] == method]
    measured = [entry for entry in own if is_measured(entry)]
    if not measured:
        reasons = dict.fromkeys(entry["reason"] or entry["status"] for entry in own)
        return MethodRow(method, None, None, False, "; ".join(reasons), len(own))
    chosen = next((entry for entry in measured if entry["id"] == advised), None)
    at_common = [entry for entry in measured if entry["stop_examples"] == stop]
    rows = result["task"]["rows"]["train"]
    return MethodRow(
        method,
        figures(chosen or max(measured, key=lambda e: e["quality"]), rows),
        figures(max(at_common, key=lambda e: e["quality"]), rows) if at_common else None,
        chosen is not None,
        "",
        len(measured),
    )


def common_length(entries: Sequence[Entry]) -> int | None:
    """The training length, in examples, at which the most methods were measured; the longest of several. None without any."""
    methods: dict[int, set[str]] = {}
    for entry in entries:
        if is_measured(entry):
            methods.setdefault(entry["stop_examples"], set()).add(entry["method"])
    return max(methods, key=lambda stop: (len(methods[stop]), stop), default=None)


def best_by_method(result: Mapping[str, Any]) -> dict[str, Entry]:
    """Each method's measured setup of the best quality, the last of several."""
    measured = sorted((entry for entry in result["setups"] if is_measured(entry)), key=lambda e: e["quality"])
    return {entry["method"]: entry for entry in measured}


def is_measured(entry: Entry) -> bool:
    return entry["status"] == "measured" and numbers.quality(entry["quality"]).value is not None


def is_contended(entry: Entry) -> bool:
    """Whether its times are those of a busy machine alone, and too long."""
    decisive = [m for m in entry["measurements"] if m["role"] == "confirm"] or entry["measurements"]
    return bool(decisive) and all(m.get("contended") for m in decisive)


def figures(entry: Entry, train_rows: int) -> Figures:
    low, high = entry["quality_interval"] or (None, None)
    quality, reading = numbers.quality(entry["quality"]), numbers.quality(entry.get("reading"))
    return Figures(
        id=entry["id"],
        words=setup_words(entry["method"], entry["hyperparameters"], None),
        examples=entry["stop_examples"],
        epochs=numbers.epochs(entry["stop_examples"], train_rows),
        quality=quality,
        low=numbers.quality(low),
        high=numbers.quality(high),
        reading=Cell() if reading.text == quality.text else reading,
        cost=numbers.seconds(entry["gpu_seconds"]),
        memory=numbers.size(entry["peak_bytes"]),
        seeds=len(entry["measurements"]),
        contended=is_contended(entry),
    )
