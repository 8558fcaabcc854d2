"""The critical-difference diagram: contenders on a line by their mean rank, those that are not told apart under one bar.

Pure geometry, in the units of the drawing. Demsar 2006, figure 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

LEFT, RIGHT, WIDTH = 330.0, 670.0, 1000.0
"""Where the axis begins and ends; names stand beside it."""
AXIS, BAR_STEP, NAME_STEP = 46.0, 9.0, 24.0


@dataclass(frozen=True)
class Named:
    """A contender: the line from its rank down and out to its name, which ends at x, y. on_left: the better half."""

    key: str
    rank: float
    at: float
    x: float
    y: float
    on_left: bool


@dataclass(frozen=True)
class Diagram:
    """ticks: (rank, x). bars: (x1, x2, y), a group each. cd: the end of the bar that shows the critical difference."""

    ticks: list[tuple[int, float]]
    names: list[Named]
    bars: list[tuple[float, float, float]]
    cd: float
    height: float


def diagram_of(means: Mapping[str, float], groups: Sequence[Sequence[str]], difference: float) -> Diagram:
    """means: mean ranks, best first. groups: as `ranks.groups_of` gives them."""
    k, first = len(means), 0

    def at(rank: float) -> float:
        return LEFT + (rank - 1) / max(1, k - 1) * (RIGHT - LEFT)

    below = AXIS + 16 + BAR_STEP * len(groups)
    half = (k + 1) // 2
    names = []
    for i, (key, rank) in enumerate(means.items()):
        on_left = i < half
        row = i if on_left else k - 1 - i
        names.append(
            Named(key, rank, at(rank), LEFT - 12 if on_left else RIGHT + 12, below + NAME_STEP * (row + 0.6), on_left)
        )
    bars = [
        (at(means[group[first]]) - 5, at(means[group[-1]]) + 5, AXIS + 12 + BAR_STEP * row)
        for row, group in enumerate(groups)
    ]
    end = LEFT + difference / max(1, k - 1) * (RIGHT - LEFT)
    return Diagram(
        [(rank, at(rank)) for rank in range(1, k + 1)], names, bars, min(end, WIDTH), below + NAME_STEP * half + 10
    )
