"""What changed from one run to another: the question, the advice, and each method's best. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import NormalDist
from typing import Any

from peftcost.core.budget import format_seconds
from peftcost.core.memory import format_bytes
from peftcost.errors import UserError
from peftcost.report.by_method import best_by_method
from peftcost.report.choices import words_of
from peftcost.report.sentences import recommended_entry

Result = Mapping[str, Any]
Entry = Mapping[str, Any]
ASKED = ("model", "task", "metric", "margin", "columns")
LEVEL = 0.95
WIDTH = 2 * NormalDist().inv_cdf(0.5 + LEVEL / 2)
"""Of a 95 % interval, in standard errors."""


def changes(before: Result, after: Result) -> dict[str, Any]:
    """asked: what of the question differs. recommended, methods: quality, cost and memory then and now.

    UserError when the runs are told in different metrics.
    """
    metrics = before["task"]["metric"], after["task"]["metric"]
    if metrics[0] != metrics[1]:
        raise UserError(
            f"The first run is told in {metrics[0]}, the second in {metrics[1]}; such figures cannot be compared."
        )
    asked = {key: [before["task"][key], after["task"][key]] for key in ASKED if before["task"][key] != after["task"][key]}
    prints = before["task"]["fingerprints"], after["task"]["fingerprints"]
    asked |= {
        f"{key} fingerprint": [p[key][:12] for p in prints] for key in prints[0] if prints[0][key] != prints[1].get(key)
    }
    if before["devices"] != after["devices"]:
        asked["device"] = [f"{run['devices']['count']} x {run['devices']['name']}" for run in (before, after)]
    best = best_by_method(before), best_by_method(after)
    return {
        "metric": metrics[0],
        "asked": asked,
        "recommended": compared(recommended_entry(before), recommended_entry(after)),
        "methods": {name: compared(best[0].get(name), best[1].get(name)) for name in dict.fromkeys([*best[0], *best[1]])},
    }


def compared(before: Entry | None, after: Entry | None) -> dict[str, Any]:
    """Two setups. interval: of the change in quality, 95 %, as of independent runs; significant: zero is not in it."""
    found = {"before": before and figures(before), "after": after and figures(after)}
    if before is None or after is None:
        return found | {"change": None, "interval": None, "significant": False}
    change, error = after["quality"] - before["quality"], math.hypot(error_of(before), error_of(after))
    interval = [change - WIDTH / 2 * error, change + WIDTH / 2 * error]
    return found | {"change": change, "interval": interval, "significant": error > 0 and not interval[0] <= 0 <= interval[1]}


def error_of(entry: Entry) -> float:
    """The standard error that the interval lets expect; 0 where nobody knows."""
    low, high = entry["quality_interval"] or (0.0, 0.0)
    return 0.0 if math.isnan(high - low) else (high - low) / WIDTH


def figures(entry: Entry) -> dict[str, Any]:
    told = {"id": entry["id"], "setup": words_of(entry)}
    return told | {key: entry[key] for key in ("quality", "gpu_seconds", "peak_bytes")}


def regression(found: Mapping[str, Any], margin: float) -> str | None:
    """One sentence, when the recommended quality has fallen significantly and by more than the margin, or is gone."""
    advice = found["recommended"]
    if advice["before"] is not None and advice["after"] is None:
        return "The first run recommends a setup, the second none."
    if advice["significant"] and advice["change"] < -margin:
        then, now, (low, high) = advice["before"]["quality"], advice["after"]["quality"], advice["interval"]
        return (
            f"The recommended {found['metric']} fell from {then:.3f} to {now:.3f}, by more than {margin:g}, and by more than "
            f"chance ({low:+.3f} to {high:+.3f})."
        )
    return None


def told(found: Mapping[str, Any]) -> list[str]:
    """For people, a line each."""
    lines = [f"{key}: {then} -> {now}" for key, (then, now) in found["asked"].items()]
    lines += change_lines("recommended", found["recommended"])
    for name, method in found["methods"].items():
        lines += change_lines(f"best {name}", method)
    return lines


def change_lines(name: str, pair: Mapping[str, Any]) -> list[str]:
    then, now = pair["before"], pair["after"]
    if then is None or now is None:
        known, when = (now, "only in the second run") if then is None else (then, "only in the first run")
        return [] if known is None else [f"{name}: {when}: {known['setup']}, {known['quality']:.3f}"]
    sure = "significant" if pair["significant"] else "within the noise"
    low, high = pair["interval"]
    setup = now["setup"] if then["id"] == now["id"] else f"{then['setup']} -> {now['setup']}"
    return [
        f"{name}: {then['quality']:.3f} -> {now['quality']:.3f} ({pair['change']:+.3f}, 95 % {low:+.3f} to {high:+.3f}, "
        f"{sure}), {format_seconds(then['gpu_seconds'])} -> {format_seconds(now['gpu_seconds'])}, "
        f"{format_bytes(then['peak_bytes'])} -> {format_bytes(now['peak_bytes'])}",
        f"  {setup}",
    ]
