"""The stops of a search: the lengths at which its lineages are measured. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from peftcost.core.statistics import CONFIRM_SEEDS

EPOCHS = (1 / 16, 1 / 8, 1 / 4, 3 / 8, 1 / 2, 5 / 8, 3 / 4, 7 / 8, 1.0, 1.25, 1.5, 2.0, 3.0)
"""The longest stop is one of these, as far as the budget goes."""
FACTOR, MOST_STOPS = 2, 3
FEWEST_STEPS = 20
"""Optimizer steps of the first stop, at least."""
PROMOTED = 0.5
"""Of the lineages at one stop, how many a budget should be able to take to the next."""
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


def needs_of(stops: Sequence[int], seconds_per_example: Sequence[float], seconds_beside: Sequence[float]) -> float:
    """gpu-seconds of each method at the first stop, promotions of half of what is left to each next, and the
    confirmation of the dearest contenders at the last. The figures are per method."""
    methods = sorted(zip(seconds_per_example, seconds_beside, strict=True), reverse=True)
    total = sum(rate * stops[0] + beside for rate, beside in methods)
    left = len(methods)
    for before, stop in zip(stops, stops[1:], strict=False):
        left = max(1, round(PROMOTED * left))
        total += sum(rate * (stop - before / 2) + beside for rate, beside in methods[:left])
    confirmed = sorted(rate * stops[-1] + beside for rate, beside in methods)[-CONTENDERS:]
    return SAFETY * (total + CONFIRM_SEEDS * sum(confirmed))


def choose_stops(
    rows: int,
    batch_size: int,
    seconds_per_example: Sequence[float],
    seconds_beside: Sequence[float],
    available: float,
) -> list[int]:
    """The stops whose longest is the longest that can be paid for; available: gpu-seconds, closing costs taken off.

    Never below FEWEST_STEPS steps; when even that is too much, methods will be skipped.
    """
    least = min(rows, FEWEST_STEPS * batch_size)
    chosen = [least]
    for epochs in EPOCHS:
        stops = ladder(max(least, round(rows * epochs)), least)
        if stops[-1] > chosen[-1] and needs_of(stops, seconds_per_example, seconds_beside) <= available:
            chosen = stops
    return chosen
