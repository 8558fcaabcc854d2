"""The stops of a search: the lengths at which its lineages are measured. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from peftcost.core.statistics import CONFIRM_SEEDS

EPOCHS = (1 / 16, 1 / 8, 1 / 4, 3 / 8, 1 / 2, 5 / 8, 3 / 4, 7 / 8, 1.0, 1.25, 1.5, 2.0, 3.0)
"""The longest stop is one of these, as far as the budget goes."""
FACTOR, MOST_STOPS, MOST_BEYOND = 2, 3, 2
FEWEST_STEPS = 20
"""Optimizer steps of the first stop, at least."""
CONTENDERS = 2
"""For how many setups the budget keeps confirmation back."""
SAFETY = 1.1
"""Predictions are taken this much dearer, since the budget must hold."""


def ladder(longest: int, least: int) -> list[int]:
    """Stops up to the longest, each FACTOR times the one before, none below the least."""
    stops = [longest]
    while len(stops) < MOST_STOPS and stops[0] // FACTOR >= least:
        stops.insert(0, stops[0] // FACTOR)
    return stops


@dataclass(frozen=True)
class Pace:
    """What an arm takes: gpu-seconds an example trained, and beside training for a trial while exploring and for a
    confirmation, which predicts all of dev."""

    per_example: float
    beside: float
    beside_confirmed: float
    is_anchor: bool


def needs_of(stops: Sequence[int], paces: Sequence[Pace]) -> float:
    """gpu-seconds of the anchors up to the last stop, of the other methods at the first, and of confirming the dearest
    anchors."""
    anchors, others = [p for p in paces if p.is_anchor], [p for p in paces if not p.is_anchor]
    total = sum(p.per_example * stops[-1] + p.beside * len(stops) for p in anchors)
    total += sum(p.per_example * stops[0] + p.beside for p in others)
    confirmed = sorted(p.per_example * stops[-1] + p.beside_confirmed for p in anchors)[-CONTENDERS:]
    return SAFETY * (total + CONFIRM_SEEDS * sum(confirmed))


def reaching_beyond(stops: Sequence[int], rows: int) -> list[int]:
    """The stops and a few more, which not every anchor can be paid for to reach: whatever is worth it may."""
    beyond = [stops[-1] * FACTOR**n for n in range(1, MOST_BEYOND + 1)]
    return [*stops, *(stop for stop in beyond if stop <= EPOCHS[-1] * rows)]


def choose_stops(rows: int, batch_size: int, paces: Sequence[Pace], available: float) -> list[int]:
    """The stops whose longest is the longest that can be paid for; available: gpu-seconds, closing costs taken off.

    Never below FEWEST_STEPS steps; when even that is too much, methods will be skipped.
    """
    least = min(rows, FEWEST_STEPS * batch_size)
    chosen = [least]
    for epochs in EPOCHS:
        stops = ladder(max(least, round(rows * epochs)), least)
        if stops[-1] > chosen[-1] and needs_of(stops, paces) <= available:
            chosen = stops
    return chosen
