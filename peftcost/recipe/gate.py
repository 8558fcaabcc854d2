"""What a recipe promises of a training: what the data must be for the promise to mean something, and what breaks it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from peftcost.recipe.recipe import PROMISE_SEEDS, Expected, Recipe
from peftcost.task.splits import TaskData
from peftcost.tasks.targets import Classes

COST_TOLERANCE = 1.5
"""A training that takes this many times the recipe's gpu-seconds, on as many devices of the same kind, breaks the promise."""
COST_SLACK_SECONDS = 5.0
"""On top of that, for each device: a training of a second or two varies by more than half on a machine that is in use."""

Interval = tuple[float, float]


def promised_interval(recipe: Recipe, dev_rows: int, new_data: bool, limits: Interval) -> Interval | None:
    """Where 95 % of new seeds fall; of fewer dev rows than the recipe's, farther apart, within the metric's limits. None
    where it promises nothing."""
    return interval_on(recipe.expected, dev_rows, limits) if new_data else recipe.expected.prediction_interval


def interval_on(expected: Expected, rows: int, limits: Interval) -> Interval | None:
    """Where 95 % of new seeds fall on so many rows of new data."""
    interval = expected.new_data_interval
    if interval is None or expected.dev_rows is None:
        return interval
    wider = math.sqrt(max(1.0, expected.dev_rows / rows))
    low, high = np.clip([expected.quality + wider * (end - expected.quality) for end in interval], *limits).tolist()
    return low, high


def obstacles(recipe: Recipe, data: TaskData) -> list[str]:
    """Why new data cannot be held to the recipe's promise: a sentence each."""
    found = []
    if recipe.targets and isinstance(data.targets, Classes) and data.targets.describe() != recipe.targets:
        found.append(
            f"The data has other classes than the recipe ({data.targets.describe()}; the recipe {recipe.targets}). "
            "Correct the labels, search again, or train with --no-gate."
        )
    interval, rows = promised_interval(recipe, len(data.dev), True, data.metric.limits), len(data.dev)
    if interval is not None and interval[0] <= data.metric.limits[0]:
        found.append(
            f"A dev split of {rows} row{'s' if rows > 1 else ''} is too small for a gate: any {data.metric.name} could be "
            "chance. Give more rows, or train with --no-gate."
        )
    return found


def broken_promises(
    recipe: Recipe,
    measured: Mapping[str, Any],
    device: str,
    interval: Interval | None,
    new_data: bool,
    min_quality: float | None = None,
) -> list[str]:
    """A sentence for each promise that this training has not kept. Costs are compared on as many devices of one kind alone,
    in device-seconds. interval: the promised one. min_quality: what the caller asks for, whatever the recipe promises."""
    expected, broken = recipe.expected, too_low("Dev quality", measured["quality"], interval, min_quality)
    same_devices = (device, measured["ranks"]) == (expected.device, expected.ranks)
    most = COST_TOLERANCE * expected.gpu_seconds + expected.ranks * COST_SLACK_SECONDS
    if same_devices and not new_data and measured["gpu_seconds"] > most:
        broken.append(
            f"Training took {measured['gpu_seconds']:.1f} gpu-s, more than {COST_TOLERANCE} times the recipe's "
            f"{expected.gpu_seconds:.1f}."
        )
    return broken


def too_low(name: str, quality: float, interval: Interval | None, min_quality: float | None) -> list[str]:
    """A sentence for each bar that a quality, called so, falls below: the promised interval, and what the caller asks for."""
    found = []
    if interval is not None and quality < interval[0]:
        found.append(f"{name} is {quality:.3f}, below the {promise_text(interval)} that the recipe promises.")
    if min_quality is not None and quality < min_quality:
        found.append(f"{name} is {quality:.3f}, below the {min_quality:g} of --min-quality.")
    return found


def promise_text(interval: Interval | list[float] | None) -> str:
    """As it stands in a sentence."""
    if interval is None:
        return f"nothing yet, the recipe rests on fewer than {PROMISE_SEEDS} seeds"
    return f"{interval[0]:.3f} to {interval[1]:.3f}"
