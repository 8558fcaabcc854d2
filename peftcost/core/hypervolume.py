"""How much a set of setups offers: the volume that they dominate, and what one more is expected to add.

Quality counts as it is, cost and memory by their logarithms: half the cost is worth the same wherever one starts.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import norm

from peftcost.core.front import Point


def hypervolume(points: Sequence[Point], reference: Point) -> float:
    """The volume between the reference (a poor quality, a high cost, a high memory) and what the points dominate."""
    qualities, areas, _, _ = _cells(points, reference)
    return float((np.maximum(qualities - reference[0], 0.0) * areas).sum())


def expected_gain(points: Sequence[Point], reference: Point, candidate: Point, deviation: float) -> float:
    """What a point is expected to add whose cost and memory are known and whose quality is normal around the candidate's.

    Exact: in each cell of cost and memory the gain is the expected excess over the best quality that is had there
    (expected hypervolume improvement, Emmerich et al. 2006, with one uncertain objective).
    """
    mean, cost, memory = candidate
    if cost >= reference[1] or memory >= reference[2]:
        return 0.0
    qualities, areas, costs, memories = _cells([*points, (-np.inf, cost, memory)], reference)
    reached = (costs[:, None] >= cost) & (memories[None, :] >= memory)
    bar = np.maximum(qualities, reference[0])
    return float((expected_excess(mean - bar, deviation) * areas)[reached].sum())


def expected_excess(difference: np.ndarray, deviation: float) -> np.ndarray:
    """E[max(0, X)] of normal X with these means and this deviation."""
    if deviation <= 0:
        return np.maximum(difference, 0.0)
    z = difference / deviation
    return deviation * (norm.pdf(z) + z * norm.cdf(z))


def _cells(points: Sequence[Point], reference: Point) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Cost times memory cut where points lie: the best quality had in each cell, its area, and the lower edges."""
    inside = [p for p in points if p[1] < reference[1] and p[2] < reference[2]]
    costs, memories = np.unique([p[1] for p in inside]), np.unique([p[2] for p in inside])
    qualities = np.full((len(costs), len(memories)), -np.inf)
    for quality, cost, memory in inside:
        i, j = np.searchsorted(costs, cost), np.searchsorted(memories, memory)
        qualities[i, j] = max(qualities[i, j], quality)
    qualities = np.maximum.accumulate(np.maximum.accumulate(qualities, axis=0), axis=1)
    widths = np.diff(np.log([*costs, reference[1]]))
    heights = np.diff(np.log([*memories, reference[2]]))
    return qualities, np.outer(widths, heights), costs, memories
