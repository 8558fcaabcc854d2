"""What one gains, and what one gives up, from each of the best trade-offs to the next dearer one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from peftcost.report import numbers
from peftcost.report.choices import words_of
from peftcost.report.numbers import Cell


@dataclass(frozen=True)
class Step:
    """A trade-off beside the next cheaper one. gain: in quality, signed; clear: whether the two intervals lie apart. times:
    of cost and of memory, as people say it. All empty in the first step, which is compared with nothing."""

    id: str
    method: str
    words: str
    quality: Cell
    cost: Cell
    memory: Cell
    gain: str
    clear: bool
    more_cost: str
    more_memory: str
    recommended: bool


def steps_of(result: Mapping[str, Any]) -> list[Step]:
    """Those of the front that raise the quality, cheapest first."""
    by_id = {entry["id"]: entry for entry in result["setups"]}
    advised = (result["recommendation"] or {}).get("id")
    front = sorted((by_id[i] for i in result["front"]), key=lambda e: (e["gpu_seconds"], -e["quality"]))
    found: list[Step] = []
    before: Mapping[str, Any] | None = None
    for entry in front:
        if before is not None and entry["quality"] <= before["quality"]:
            continue
        found.append(step(entry, before, entry["id"] == advised, result["task"]["rows"]["train"]))
        before = entry
    return found


def step(entry: Mapping[str, Any], before: Mapping[str, Any] | None, recommended: bool, train_rows: int) -> Step:
    return Step(
        id=entry["id"],
        method=entry["method"],
        words=words_of(entry, train_rows),
        quality=numbers.quality(entry["quality"]),
        cost=numbers.seconds(entry["gpu_seconds"]),
        memory=numbers.size(entry["peak_bytes"]),
        gain="" if before is None else f"{entry['quality'] - before['quality']:+.3f}",
        clear=before is not None and apart(before, entry),
        more_cost="" if before is None else factor(entry["gpu_seconds"], before["gpu_seconds"]),
        more_memory="" if before is None else factor(entry["peak_bytes"], before["peak_bytes"]),
        recommended=recommended,
    )


def apart(lower: Mapping[str, Any], upper: Mapping[str, Any]) -> bool:
    """Whether the upper interval begins where the lower has ended."""
    return bool(lower["quality_interval"] and upper["quality_interval"]) and (
        upper["quality_interval"][0] > lower["quality_interval"][1]
    )


def factor(value: float, before: float) -> str:
    """A ratio as people say it: "the same", "2.1 times", "20 % less"."""
    ratio = value / before if before else 1.0
    if 0.975 < ratio < 1.025:
        return "the same"
    if ratio >= 1.5:
        return f"{ratio:.1f} times" if ratio < 9.95 else f"{ratio:,.0f} times"
    return f"{abs(ratio - 1):.0%} {'more' if ratio > 1 else 'less'}".replace("%", " %")
