"""What a recipe promises of a training: what the data must be for the promise to mean something, and what breaks it."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from peftcost.core.one_line import one_line
from peftcost.core.statistics import plain_value, resample_qualities
from peftcost.errors import GateError, UserError
from peftcost.recipe.recipe import PROMISE_SEEDS, Expected, Recipe
from peftcost.task.check import count
from peftcost.task.splits import TaskData
from peftcost.tasks.base import Metric
from peftcost.tasks.targets import SHOWN_CLASSES, Classes, Targets

COST_TOLERANCE = 1.5
"""A training that takes this many times the recipe's gpu-seconds, on as many devices of the same kind, breaks the promise."""
COST_SLACK_SECONDS = 5.0
"""On top of that, for each device: a training of a second or two varies by more than half on a machine that is in use."""
DEV_QUALITY = "Dev quality"
ONE_SIDED = 1.645
"""Standard errors that a normal variable lies above in one case of twenty."""

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


@dataclass(frozen=True)
class Bar:
    """What quality must not fall below. text: that, and who asks for it."""

    least: float
    text: str


def promised_bars(interval: Interval | None) -> list[Bar]:
    """The promise's, where there is one."""
    return [] if interval is None else [Bar(interval[0], f"{promise_text(interval)} that the recipe promises")]


def check_min_quality(least: float | None, metric: Metric) -> None:
    """UserError for a quality that no model can reach, before anything is spent: 90 where 0.9 was meant."""
    low, high = metric.limits
    if least is not None and not least <= high:
        raise UserError(f"--min-quality {least:g} cannot be reached: {metric.name} lies between {low:g} and {high:g}.")


def asked_bars(min_quality: float | None, earlier: tuple[Path, float] | None = None, margin: float = 0.0) -> list[Bar]:
    """What the caller asks for, whatever the recipe promises. earlier: a model that was trained before, and what it reaches
    on the rows of the gate, of which the margin may be lost."""
    bars = [] if min_quality is None else [Bar(min_quality, f"{min_quality:g} of --min-quality")]
    if earlier is not None:
        folder, quality = earlier
        found = f"{quality - margin:.3f} of --gate-against ({folder} reaches {quality:.3f}, the margin is {margin:g})"
        bars.append(Bar(quality - margin, found))
    return bars


def expected_bar(recipe: Recipe) -> Bar:
    """Where nothing is promised or asked for: a dev split that cannot tell this from chance says nothing."""
    return Bar(recipe.expected.quality, f"{recipe.expected.quality:.3f} that the recipe expects")


@dataclass(frozen=True)
class Gate:
    """The highest bar on so many dev rows. floor: what a model that knows nothing reaches there. luck: by how much chance
    raises a quality, in one case of twenty; None where nothing tells it."""

    bar: Bar
    metric: str
    rows: int
    floor: float
    luck: float | None

    @property
    def weakness(self) -> list[str]:
        """Why it is none, in a sentence: a model that knows nothing passes it, or may by chance."""
        least, luck = self.bar.least, self.luck or 0.0
        if least - luck > self.floor or self.floor == -math.inf:
            return []
        rows = count(self.rows, "row", "rows")
        if least > self.floor:
            why = f"A dev split of {rows} is too small for a gate: it sees no drop below {luck:.3f}, so a model that"
            may = "may pass"
        else:
            why, may = f"There is no gate in a dev split of {rows}: a model that", "passes"
        return [
            f"{why} reaches no more than the simplest baseline ({self.metric} {self.floor:.3f}) {may} the {self.bar.text}. "
            "Give more rows (--gate-rows), a higher --min-quality, or --no-gate alone."
        ]

    def told(self, expected: float) -> str:
        """What it asks for, and how small a drop from the expected quality it can see."""
        drop = self.drop_from(expected)
        sees = f"it sees a drop of {drop:.3f} or more from the {expected:.3f} that" if drop else f"{expected:.3f} is what"
        rows = count(self.rows, "dev row", "dev rows")
        return f"gate: {self.metric} on {rows} must not be below the {self.bar.text}; {sees} the recipe expects"

    def drop_from(self, quality: float) -> float | None:
        """How far below this quality a model is that fails in 95 % of cases; None where nothing tells it."""
        return None if self.luck is None else max(0.0, quality - self.bar.least + self.luck)


def gate_of(bars: Sequence[Bar], data: TaskData) -> Gate:
    """The gate that the bars make on the dev split. Luck is the most that it can be in a metric with two limits, else by the
    simplest baseline's bootstrap."""
    (low, high), n, rows = data.metric.limits, len(data.dev), data.simplest_rows
    floor = low if rows is None else plain_value(rows, data.metric.compute)
    luck = None
    if math.isfinite(high - low):
        luck = ONE_SIDED * (high - low) / 2 / math.sqrt(n)
    elif rows is not None:
        drawn = resample_qualities({"simplest": [rows]}, data.metric.compute).values["simplest"]
        luck = ONE_SIDED * float(drawn.std()) * math.sqrt(n / (n - 1)) if n > 1 else math.inf
    return Gate(max(bars, key=lambda bar: bar.least), data.metric.name, n, floor, luck)


@dataclass(frozen=True)
class Held:
    """What dev quality is held to. interval: the promised one, whether or not it counts. asked: the caller's bars. gate: of
    those that count; None where there are none."""

    interval: Interval | None
    asked: list[Bar]
    gate: Gate | None


def held_to(recipe: Recipe, data: TaskData, new_data: bool, promise_counts: bool, asked: list[Bar]) -> Held:
    """GateError where the dev split cannot tell from chance what is asked for, or promised of new data; where neither is,
    what the recipe expects of new data."""
    interval = promised_interval(recipe, len(data.dev), new_data, data.metric.limits)
    bars = asked + (promised_bars(interval) if promise_counts else [])
    if asked or (new_data and promise_counts):
        refuse(gate_of(bars or [expected_bar(recipe)], data).weakness)
    return Held(interval, asked, gate_of(bars, data) if bars else None)


def refuse(obstacles: Sequence[str]) -> None:
    """GateError if there are any."""
    if obstacles:
        raise GateError(f"{' '.join(obstacles)} Nothing was trained.")


def other_classes(recipe: Recipe, targets: Targets) -> list[str]:
    """How new data's classes are not the recipe's, in a sentence."""
    if not recipe.classes or not isinstance(targets, Classes):
        return []
    now, before = set(targets.names), set(recipe.classes)
    parts = [f"{verb} {listed(names)}" for verb, names in (("has", now - before), ("lacks", before - now)) if names]
    if not parts:
        return []
    return [
        f"The data has other classes than the recipe: it {' and '.join(parts)}. Correct the labels, search again, or train "
        "with --allow-other-classes."
    ]


def listed(names: Collection[str]) -> str:
    """The first of them."""
    first = ", ".join(map(repr, sorted(names)[:SHOWN_CLASSES]))
    return one_line(first) + (f" and {len(names) - SHOWN_CLASSES} more" if len(names) > SHOWN_CLASSES else "")


def broken_promises(
    recipe: Recipe, measured: Mapping[str, Any], device: str, bars: Sequence[Bar], new_data: bool
) -> list[str]:
    """A sentence for each promise that this training has not kept. Costs are compared on as many devices of one kind alone,
    in device-seconds. bars: for dev quality."""
    expected, broken = recipe.expected, too_low(DEV_QUALITY, measured["quality"], bars)
    same_devices = (device, measured["ranks"]) == (expected.device, expected.ranks)
    most = COST_TOLERANCE * expected.gpu_seconds + expected.ranks * COST_SLACK_SECONDS
    if same_devices and not new_data and measured["gpu_seconds"] > most:
        broken.append(
            f"Training took {measured['gpu_seconds']:.1f} gpu-s, more than {COST_TOLERANCE} times the recipe's "
            f"{expected.gpu_seconds:.1f}."
        )
    return broken


def too_low(name: str, quality: float, bars: Sequence[Bar]) -> list[str]:
    """A sentence for each bar that a quality, called so, falls below."""
    return [f"{name} is {quality:.3f}, below the {bar.text}." for bar in bars if quality < bar.least]


def promise_text(interval: Interval | list[float] | None) -> str:
    """As it stands in a sentence."""
    if interval is None:
        return f"nothing yet, the recipe rests on fewer than {PROMISE_SEEDS} seeds"
    return f"{interval[0]:.3f} to {interval[1]:.3f}"
