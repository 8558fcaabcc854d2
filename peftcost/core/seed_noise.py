"""How far seeds of one setup differ: by what a seed does to all setups alike, and by what it does to each."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

EXPECTED_FREEDOM = 8
"""How much an expectation of a setup's own noise counts, beside what fresh seeds show of it."""
COMMON_SHARE, COMMON_FREEDOM = 0.5, 2
"""Of that expectation, the variance of what seeds do to all setups alike (none to 1.4 times a setup's own on the recorded
tables, docs/benchmarks/table.md), and how much this counts."""


@dataclass(frozen=True)
class SeedNoise:
    """Variances between seeds: of what all setups share with the same seed, and of what is each setup's own.

    freedom: degrees of freedom of the second."""

    own: float
    common: float
    freedom: int

    def expecting(self, deviation: float, common_freedom: int) -> SeedNoise:
        """With a scaled inverse chi-square prior (Gelman et al., Bayesian Data Analysis, 3rd ed., section 2.6) on each: own
        noise of this standard deviation, and a share of it in common. common_freedom: how much is known of the latter."""
        freedom, weight = self.freedom + EXPECTED_FREEDOM, common_freedom + COMMON_FREEDOM
        own = (self.freedom * self.own + EXPECTED_FREEDOM * deviation**2) / freedom
        common = (common_freedom * self.common + COMMON_FREEDOM * COMMON_SHARE * deviation**2) / weight
        return SeedNoise(own, common, freedom)


def seed_noise(
    groups: Sequence[Mapping[int, float]], example_variance: float = 0.0, expected_deviation: float | None = None
) -> SeedNoise:
    """From qualities by seed, a group a setup. What is left by the additive fit quality = setup + seed is the setups' own;
    the variance within setups is that and what is common. example_variance: what of the own one is chance in the examples,
    which is not counted. expected_deviation: of a setup's own noise, as other measurements let expect.

    With no two setups that share two seeds, all is taken to be their own.
    """
    several = [group for group in groups if len(group) > 1]
    total, known = pooled_deviation([list(group.values()) for group in several])
    squares, freedom = _left_by_additive_fit(several)
    own = squares / freedom if freedom else total**2
    common = max(0.0, total**2 - own)
    found = SeedNoise(max(0.0, own - example_variance), common, freedom or known)
    return found if expected_deviation is None else found.expecting(expected_deviation, known - freedom)


def pooled_deviation(groups: Sequence[Sequence[float]]) -> tuple[float, int]:
    """Standard deviation within groups, pooled, and its degrees of freedom; (0, 0) if no group has two values."""
    squares, freedom = 0.0, 0
    for values in groups:
        if len(values) > 1:
            squares += float(np.var(values)) * len(values)
            freedom += len(values) - 1
    return (math.sqrt(squares / freedom), freedom) if freedom else (0.0, 0)


def _left_by_additive_fit(groups: Sequence[Mapping[int, float]]) -> tuple[float, int]:
    """Sum of squares and degrees of freedom that quality = setup + seed leaves; (0, 0) where it explains everything."""
    cells = [(place, seed, quality) for place, group in enumerate(groups) for seed, quality in group.items()]
    if not cells:
        return 0.0, 0
    places, seeds, qualities = (np.array(column) for column in zip(*cells, strict=True))
    columns = [places == place for place in range(len(groups))] + [seeds == seed for seed in np.unique(seeds)]
    design = np.stack(columns, axis=1).astype(np.float64)
    fitted, _, rank, _ = np.linalg.lstsq(design, qualities, rcond=None)
    return float(((qualities - design @ fitted) ** 2).sum()), len(cells) - int(rank)
