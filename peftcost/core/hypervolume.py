"""How much a set of setups offers: the volume that they dominate, and what one more is expected to add.

Quality counts as it is, cost and memory by their logarithms: half the cost is worth the same wherever one starts.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import norm

from peftcost.core.front import Point


class Volume:
    """What lies between a reference (a poor quality, a high cost, a high memory) and points that are better in all three."""

    def __init__(self, points: Sequence[Point], reference: Point) -> None:
        inside = [p for p in points if p[1] < reference[1] and p[2] < reference[2]]
        costs, memories = np.unique([p[1] for p in inside]), np.unique([p[2] for p in inside])
        best = np.full((len(costs) + 1, len(memories) + 1), reference[0])
        for quality, cost, memory in inside:
            i, j = 1 + np.searchsorted(costs, cost), 1 + np.searchsorted(memories, memory)
            best[i, j] = max(best[i, j], quality)
        self._best = np.maximum.accumulate(np.maximum.accumulate(best, axis=0), axis=1)  # the quality had in each cell
        self._reference_quality = reference[0]
        self._costs = np.array([-np.inf, *np.log(costs), np.log(reference[1])])
        self._memories = np.array([-np.inf, *np.log(memories), np.log(reference[2])])

    @property
    def total(self) -> float:
        areas = np.outer(np.diff(self._costs[1:]), np.diff(self._memories[1:]))
        return float(((self._best[1:, 1:] - self._reference_quality) * areas).sum())

    def expected_gains(self, points: Sequence[Point], deviations: ArrayLike) -> np.ndarray:
        """What each of the points alone is expected to add, shape (n,): cost and memory are known, the quality is normal
        around the point's.

        Exact: in each cell of cost and memory the gain is the expected excess over the best quality that is had there
        (expected hypervolume improvement, Emmerich et al. 2006, with one uncertain objective).
        """
        if not points:
            return np.zeros(0)
        mean, cost, memory = np.array(points, dtype=float).T
        widths = _beyond(self._costs, np.log(cost))
        heights = _beyond(self._memories, np.log(memory))
        excess = expected_excess(mean[:, None, None] - self._best, np.asarray(deviations)[:, None, None])
        return np.asarray(np.einsum("nij,ni,nj->n", excess, widths, heights))


def _beyond(edges: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Of each cell between two edges the part above each value, shape (values, cells)."""
    return np.maximum(0.0, edges[1:] - np.maximum(edges[:-1], values[:, None]))


def hypervolume(points: Sequence[Point], reference: Point) -> float:
    """The volume that the points dominate."""
    return Volume(points, reference).total


def expected_excess(difference: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    """E[max(0, X)] of normal X with these means and deviations."""
    certain = np.maximum(difference, 0.0)
    z = difference / np.maximum(deviation, 1e-12)
    return np.where(deviation > 0, deviation * (norm.pdf(z) + z * norm.cdf(z)), certain)
