"""The front: setups that no other beats on quality, cost and memory at once."""

from __future__ import annotations

import math
from collections.abc import Mapping

Point = tuple[float, float, float]
"""(quality, gpu_seconds, peak_bytes): the first is better high, the others low."""


def front(points: Mapping[str, Point]) -> list[str]:
    """Ids of the non-dominated points, cheapest first. Ties stay; a point with a NaN is never on the front."""
    valid = {name: point for name, point in points.items() if not any(math.isnan(value) for value in point)}
    kept: list[str] = []
    for name in sorted(valid, key=lambda name: (-valid[name][0], *valid[name][1:])):  # whatever dominates it comes before it
        if not any(dominates(valid[other], valid[name]) for other in kept):
            kept.append(name)
    return sorted(kept, key=lambda name: (valid[name][1], name))


def dominates(a: Point, b: Point) -> bool:
    """Whether a is at least as good as b in everything and better in something."""
    return a[0] >= b[0] and a[1] <= b[1] and a[2] <= b[2] and a != b
