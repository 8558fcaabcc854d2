"""Places labels beside points so that they cover neither each other nor a point. Pure geometry, in pixels."""

from __future__ import annotations

import math
from collections.abc import Sequence

Box = tuple[float, float, float, float]
"""left, bottom, right, top"""

DIRECTIONS = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1))
DISTANCES = (1.0, 2.2, 3.6, 5.2)


def place(
    points: Sequence[tuple[float, float]],
    sizes: Sequence[tuple[float, float]],
    taken: Sequence[Box],
    within: Box,
    gaps: Sequence[float],
) -> list[Box]:
    """A box of the given size (width, height) for each point, in the given order: the first one chooses first.

    taken: boxes of the marks themselves. gaps: from a point to a label that lies next to it. Around a point, the place
    with the least overlap for its distance is chosen; covering another label is worst, and one that lies nearer to
    another point would be taken for that one's name.
    """
    placed: list[Box] = []
    for point, size, gap in zip(points, sizes, gaps, strict=True):
        candidates = [(_beside(point, size, d, gap * far), far) for far in DISTANCES for d in DIRECTIONS]
        area = size[0] * size[1]
        costs = [
            sum(5 * _overlap(box, other) for other in placed) / area
            + sum(_overlap(box, other) for other in taken) / area
            + 10 * _outside(box, within) / area
            + 0.06 * far
            + 0.4 * any(_distance(box, other) < _distance(box, point) for other in points)
            for box, far in candidates
        ]
        placed.append(candidates[costs.index(min(costs))][0])
    return placed


def _beside(point: tuple[float, float], size: tuple[float, float], direction: tuple[int, int], gap: float) -> Box:
    (x, y), (width, height), (right, up) = point, size, direction
    left = x + right * gap - width * (1 - right) / 2
    bottom = y + up * gap - height * (1 - up) / 2
    return left, bottom, left + width, bottom + height


def nearest(box: Box, point: tuple[float, float]) -> tuple[float, float]:
    """The place in a box that is nearest to a point."""
    return min(max(point[0], box[0]), box[2]), min(max(point[1], box[1]), box[3])


def _distance(box: Box, point: tuple[float, float]) -> float:
    return math.dist(nearest(box, point), point)


def _overlap(a: Box, b: Box) -> float:
    """The area that two boxes share."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    return max(0.0, width) * max(0.0, height)


def _outside(box: Box, within: Box) -> float:
    """The area of a box beyond another."""
    return (box[2] - box[0]) * (box[3] - box[1]) - _overlap(box, within)
