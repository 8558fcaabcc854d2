"""The statistics of the advice: paired resampling of examples and seeds, and comparisons with the best.

docs/statistics.md says why, and what simulations showed.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

MetricFunction = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(rows of shape (n, k), weights of shape (B, n)) -> values of shape (B,)."""

ALPHA = 0.05


@dataclass(frozen=True)
class Replicates:
    """observed: mean over seeds of the plain metric. values: shape (B,) each, the same resamples for all setups.

    seed_noise_known: whether any setup had several seeds, so that the noise between seeds could be seen at all.
    """

    observed: dict[str, float]
    values: dict[str, np.ndarray]
    seed_noise_known: bool


def resample_qualities(
    rows_by_setup: Mapping[str, Sequence[np.ndarray]],
    metric: MetricFunction,
    replicates: int = 2000,
    seed: int = 0,
    spread_groups: Sequence[Sequence[float]] | None = None,
) -> Replicates:
    """Bootstrap the mean quality of each setup over examples (paired: one set of weights for all) and seeds.

    rows_by_setup: per setup one array (n, k) a seed, the same n examples in the same order. Examples are drawn with
    replacement (multinomial weights). The noise between seeds is drawn from a Student t scaled by the standard
    deviation pooled over all setups with several seeds, over the square root of the setup's own number of seeds:
    resampling two or three seeds themselves would understate it. spread_groups: qualities per setup to pool from, when
    more seeds are known than those whose rows are given. Draws depend on the seed and the setup's id, not on
    which other setups there are. ValueError if setups differ in n.
    """
    sizes = {len(rows) for arrays in rows_by_setup.values() for rows in arrays}
    if len(sizes) != 1:
        raise ValueError(f"all setups need the same dev examples, but there are {sorted(sizes)} rows")
    (n,) = sizes
    weights = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=replicates).astype(np.float64)
    plain = np.ones((1, n))
    per_seed = {name: [float(metric(rows, plain)[0]) for rows in arrays] for name, arrays in rows_by_setup.items()}
    deviation, freedom = pooled_deviation(spread_groups or list(per_seed.values()))
    values = {}
    for name, arrays in rows_by_setup.items():
        resampled = np.mean([metric(rows, weights) for rows in arrays], axis=0)
        own = np.random.default_rng([seed, zlib.crc32(name.encode())])
        noise = own.standard_t(freedom, size=replicates) if freedom else np.zeros(replicates)
        values[name] = resampled + noise * deviation / math.sqrt(len(arrays))
    observed = {name: float(np.mean(seeds)) for name, seeds in per_seed.items()}
    return Replicates(observed, values, freedom > 0)


def pooled_deviation(groups: Sequence[Sequence[float]]) -> tuple[float, int]:
    """Standard deviation within groups, pooled, and its degrees of freedom; (0, 0) if no group has two values."""
    squares, freedom = 0.0, 0
    for values in groups:
        if len(values) > 1:
            squares += float(np.var(values)) * len(values)
            freedom += len(values) - 1
    return (math.sqrt(squares / freedom), freedom) if freedom else (0.0, 0)


def lower_bounds(replicates: Replicates, alpha: float = ALPHA) -> dict[str, float]:
    """Simultaneous one-sided lower bounds of quality(setup) - quality(best).

    Hsu's multiple comparisons with the best (Hsu 1984, Annals of Statistics 12(3); Hsu 1996, chapter 4), in its
    bootstrap form: were i the best, c_i is the 1 - alpha quantile of the largest studentized error of q_s - q_i over
    all s; the bound of s is the least of (q_s - q_i) - c_i sd_si over all i. Never above the percentile bound of
    q_s - max q, with the best selected anew in each replicate. Adding a setup can only lower the others' bounds.
    """
    names = list(replicates.values)
    if len(names) == 1:
        return {names[0]: 0.0}
    values = np.stack([replicates.values[name] for name in names])
    observed = np.array([replicates.observed[name] for name in names])
    bounds = np.quantile(values - values.max(axis=0), alpha, axis=1)
    for i in range(len(names)):
        others = np.arange(len(names)) != i
        differences = values[others] - values[i]
        seen = observed[others] - observed[i]
        deviation = differences.std(axis=1) + 1e-12
        errors = ((differences - seen[:, None]) / deviation[:, None]).max(axis=0)
        critical = float(np.quantile(errors, 1 - alpha))
        bounds[others] = np.minimum(bounds[others], seen - critical * deviation)
    return dict(zip(names, bounds.tolist(), strict=True))


def probability_within_margin(replicates: Replicates, margin: float) -> dict[str, float]:
    """Per setup the share of replicates in which it is within the margin of the best of that replicate."""
    best = np.max(list(replicates.values.values()), axis=0)
    return {name: float(np.mean(values >= best - margin)) for name, values in replicates.values.items()}


def quality_interval(replicates: Replicates, setup_id: str, level: float = 0.95) -> tuple[float, float]:
    """Percentile interval of the setup's mean quality, over examples and seeds."""
    tail = (1 - level) / 2
    low, high = np.quantile(replicates.values[setup_id], [tail, 1 - tail])
    return float(low), float(high)


def resolvable_difference(replicates: Replicates, setup_id: str, alpha: float = ALPHA) -> float:
    """The smallest margin at which the setup could have been shown non-inferior, had it been exactly as good as the
    best observed: the distance from its observed difference to its lower bound."""
    best = max(replicates.observed.values())
    return max(0.0, replicates.observed[setup_id] - best - lower_bounds(replicates, alpha)[setup_id])


def prediction_interval(
    qualities: Sequence[float],
    n_dev: int,
    pooled_sd: float | None = None,
    pooled_freedom: int | None = None,
    new_data: bool = False,
    level: float = 0.95,
) -> tuple[float, float]:
    """Where the quality of one new seed falls: on the same dev data, or on as many new rows of the same kind.

    qualities: one per seed already measured. Student t on the spread between seeds (the given pooled one, else their
    own), widened by sqrt(1 + 1 / k); for new data the sampling noise of both dev sets, at most that of a proportion,
    is added. With neither several seeds nor a pooled figure, the noise of a proportion stands in for it.
    """
    k, mean = len(qualities), float(np.mean(qualities))
    proportion = max(mean * (1 - mean), 1e-4) / max(1, n_dev)
    if pooled_sd is not None:
        variance, freedom = pooled_sd**2, max(1, pooled_freedom or k - 1)
    elif k > 1:
        variance, freedom = float(np.var(qualities, ddof=1)), k - 1
    else:
        variance, freedom = proportion, 10**6
    spread = variance * (1 + 1 / k) + (2 * proportion if new_data else 0.0)
    half = float(stats.t.ppf(0.5 + level / 2, freedom)) * math.sqrt(spread)
    return mean - half, mean + half
