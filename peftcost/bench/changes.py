"""What changed from one comparison to another: each contender in each task. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import NormalDist
from typing import Any

from peftcost.core.budget import format_seconds
from peftcost.errors import UserError
from peftcost.report.changes import LEVEL, WIDTH

Facts = Mapping[str, Any]


def bench_changes(before: Facts, after: Facts) -> dict[str, Any]:
    """cells: of those that are in both, the change with its interval; these hold at 95 % for all together (Bonferroni).
    gone, new: (task, contender) in one alone. asked: what else differs. UserError without a task that both have."""
    tasks = {t["name"]: t for t in before["tasks"]}, {t["name"]: t for t in after["tasks"]}
    shared = [name for name in tasks[0] if name in tasks[1]]
    if not shared:
        raise UserError("The two comparisons have no task in common; such figures cannot be compared.")
    for name in shared:
        metrics = tasks[0][name]["metric"], tasks[1][name]["metric"]
        if metrics[0] != metrics[1]:
            raise UserError(f"{name} is told in {metrics[0]}, then in {metrics[1]}; such figures cannot be compared.")
    cells = by_place(before), by_place(after)
    both = [place for place in cells[0] if place in cells[1]]
    errors = NormalDist().inv_cdf(1 - (1 - LEVEL) / 2 / max(1, len(both)))
    names = {c["key"]: c["name"] for c in (*before["contenders"], *after["contenders"])}
    asked = {key: [before[key], after[key]] for key in ("device", "seeds", "versions") if before[key] != after[key]}
    return {
        "asked": asked,
        "cells": [changed(cells[0][p], cells[1][p], names[p[1]], tasks[1][p[0]], errors) for p in both],
        "gone": [[task, names[key]] for task, key in cells[0] if (task, key) not in cells[1]],
        "new": [[task, names[key]] for task, key in cells[1] if (task, key) not in cells[0]],
    }


def by_place(facts: Facts) -> dict[tuple[str, str], Facts]:
    return {(cell["task"], cell["contender"]): cell for cell in facts["cells"]}


def changed(before: Facts, after: Facts, name: str, task: Facts, errors: float) -> dict[str, Any]:
    """errors: half of the interval's width, in standard errors of the change between independent runs."""
    change = after["quality"] - before["quality"]
    widths = [end[1] - end[0] for end in (before["quality_interval"], after["quality_interval"])]
    half = errors * math.hypot(*widths) / WIDTH
    return {
        "task": task["name"],
        "contender": name,
        "metric": task["metric"],
        "margin": task["margin"],
        "quality": [before["quality"], after["quality"]],
        "gpu_seconds": [before["gpu_seconds"], after["gpu_seconds"]],
        "peak_bytes": [before["peak_bytes"], after["peak_bytes"]],
        "change": change,
        "interval": [change - half, change + half],
        "significant": half > 0 and abs(change) > half,
    }


def bench_regression(found: Facts, margin: float | None) -> str | None:
    """One sentence, when somewhere quality has fallen significantly and by more than the margin (the task's own by default),
    or when something is not measured any more."""
    fallen = [
        cell
        for cell in found["cells"]
        if cell["significant"] and cell["change"] < -(cell["margin"] if margin is None else margin)
    ]
    if fallen:
        worst = min(fallen, key=lambda cell: cell["change"])
        (then, now), (low, high) = worst["quality"], worst["interval"]
        more = f"; {len(fallen) - 1} more fell" if len(fallen) > 1 else ""
        return (
            f"On {worst['task']} the {worst['metric']} of {worst['contender']} fell from {then:.3f} to {now:.3f}, by more "
            f"than chance ({low:+.3f} to {high:+.3f}){more}."
        )
    if found["gone"]:
        task, contender = found["gone"][0]
        return f"On {task} {contender} was measured in the first comparison and is not in the second."
    return None


def told(found: Facts) -> list[str]:
    """For people: what is significant a line each, the rest in a line."""
    lines = [f"{key}: {then} -> {now}" for key, (then, now) in found["asked"].items()]
    moved = [cell for cell in found["cells"] if cell["significant"]]
    for cell in moved:
        (then, now), (low, high) = cell["quality"], cell["interval"]
        change = f"{cell['change']:+.3f}, {low:+.3f} to {high:+.3f}"
        costs = [format_seconds(value) if value else "?" for value in cell["gpu_seconds"]]
        where = f"{cell['task']}, {cell['contender']}"
        lines.append(f"{where}: {then:.3f} -> {now:.3f} ({change}), {costs[0]} -> {costs[1]}")
    lines.append(f"{len(found['cells']) - len(moved)} of {len(found['cells'])} qualities are within the noise.")
    lines += [f"only in the first: {contender} on {task}" for task, contender in found["gone"]]
    return lines + [f"only in the second: {contender} on {task}" for task, contender in found["new"]]
