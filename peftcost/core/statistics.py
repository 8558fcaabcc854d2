"""The statistics of the advice: paired resampling of examples and seeds, and comparisons with the best.

docs/internals/statistics.md says why, and what simulations showed.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache

import numpy as np
from scipy import stats

from peftcost.core.seed_noise import seed_noise

MetricFunction = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(rows of shape (n, k), weights of shape (B, n)) -> values of shape (B,)."""

CONFIDENCE = 0.95
ALPHA = 0.05
CONFIRM_SEEDS = 2
"""Fresh seeds that a setup needs before anything can be shown of it."""
MOST_CONFIRM_SEEDS = 5
"""Fresh seeds that a search trains a setup with, at most."""
WEIGHTS_AT_ONCE = 10_000_000
"""Resampling weights held in memory at a time (8 bytes each); a large dev set is resampled in blocks."""


@dataclass(frozen=True)
class NonInferiority:
    """What it takes to count as good as the best: within the margin, shown with this confidence."""

    margin: float
    confidence: float = CONFIDENCE

    @property
    def alpha(self) -> float:
        return 1 - self.confidence


@dataclass(frozen=True)
class Expectation:
    """Of a setup's quality, by what other measurements say as well. deviation: of what is the setup's own; common_deviation:
    of what errs alike in all that were measured so (the dev sample, the seed), which comparisons do not feel."""

    mean: float
    deviation: float
    common_deviation: float = 0.0


@dataclass(frozen=True)
class Replicates:
    """observed: mean over seeds of the plain metric. values: shape (B,) each, the same resamples for all setups.

    seed_deviation: between seeds of one setup, examples and what all setups share apart, as it was drawn;
    common_seed_deviation: of what all setups share with the same seed.
    unsettled_variances: of setups whose seeds are expected to differ more than that, how much more variance their values
    have. Intervals that are told take it in; comparisons, which are about the best, do not.
    expectations: of setups whose reading other measurements correct.
    limits: the metric's lowest and highest possible value. The drawn values may lie beyond (cutting them off would
    bias comparisons), an interval that is told does not.
    """

    observed: dict[str, float]
    values: dict[str, np.ndarray]
    seed_deviation: float = 0.0
    common_seed_deviation: float = 0.0
    unsettled_variances: Mapping[str, float] = field(default_factory=dict)
    expectations: Mapping[str, Expectation] = field(default_factory=dict)
    limits: tuple[float, float] = (-math.inf, math.inf)

    def only(self, ids: Iterable[str]) -> Replicates:
        """The same draws, for these setups alone."""
        kept = list(ids)
        observed, values = {i: self.observed[i] for i in kept}, {i: self.values[i] for i in kept}
        return replace(self, observed=observed, values=values)

    @cached_property
    def as_expected(self) -> Replicates:
        """For comparisons: what is expected stands in the place of what was observed, and is no less certain than that was.
        The best of many readings looks better than it is; so regressed, it does not."""
        observed, values = dict(self.observed), dict(self.values)
        for name, expected in self.expectations.items():
            if name in values:
                drawn = values[name]
                narrower = min(1.0, expected.deviation / max(float(drawn.std()), 1e-12))
                observed[name], values[name] = expected.mean, expected.mean + narrower * (drawn - self.observed[name])
        return replace(self, observed=observed, values=values, expectations={})


def nested_sample(n: int, size: int | None) -> np.ndarray:
    """Which of n examples a sample of this size holds, in order; all for None. A smaller sample is a part of every
    larger one."""
    return np.sort(np.random.default_rng(n).permutation(n)[:size])


def resample_qualities(
    rows_by_setup: Mapping[str, Sequence[np.ndarray]],
    metric: MetricFunction,
    replicates: int = 2000,
    seed: int = 0,
    spread_groups: Sequence[Sequence[float]] | None = None,
    limits: tuple[float, float] = (-math.inf, math.inf),
    copies: np.ndarray | None = None,
) -> Replicates:
    """Bootstrap the mean quality of each setup over examples (paired: one set of weights for all) and seeds.

    rows_by_setup: per setup one array (n, k) a seed, the same n examples in the same order. Examples are drawn with
    replacement (multinomial weights). The noise between seeds is drawn from a Student t with the variance pooled over
    all setups with several seeds, over the setup's own number of seeds: resampling two or three seeds themselves would
    understate it. What a seed does to all setups alike is one draw for all; the k-th array of every setup is taken to be
    of the same seed. What the examples explain of that variance is taken off first, since the weights bring it in
    already. The t's chi-square is shared by all setups, as the variance is. spread_groups: qualities per setup to pool
    from, when more seeds are known than those whose rows are given. limits: as in `Replicates`.
    Weights and normal draws depend on the seed and the setup's id, not on which other setups there are.
    copies: as for `resample_examples`. ValueError if the setups differ in the number of examples.
    """
    sizes = {len(rows) for arrays in rows_by_setup.values() for rows in arrays}
    if len(sizes) != 1:
        raise ValueError(f"all setups need the same dev examples, but there are {sorted(sizes)} rows")
    (n,) = sizes
    per_seed = {s: {k: plain_value(rows, metric) for k, rows in enumerate(arrays)} for s, arrays in rows_by_setup.items()}
    every = [rows for arrays in rows_by_setup.values() for rows in arrays]
    drawn = iter(resample_examples(every, metric, n, replicates, seed, copies))
    resampled = {name: np.stack([next(drawn) for _ in arrays]) for name, arrays in rows_by_setup.items()}
    groups = [dict(enumerate(group)) for group in spread_groups] if spread_groups else None
    return with_seed_noise(resampled, per_seed, seed, groups, limits)


def plain_value(rows: np.ndarray, metric: MetricFunction) -> float:
    """The metric of the rows as they are."""
    return float(metric(rows, np.ones((1, len(rows))))[0])


def with_seed_noise(
    resampled: Mapping[str, np.ndarray],
    per_seed: Mapping[str, Mapping[int, float]],
    seed: int,
    spread_groups: Sequence[Mapping[int, float]] | None = None,
    limits: tuple[float, float] = (-math.inf, math.inf),
    expected_deviation: float | None = None,
    unsettled: float = 0.0,
) -> Replicates:
    """The second half of `resample_qualities`. resampled: per setup what `resample_examples` gave, shape (seeds, B);
    per_seed: the plain metric by training seed, in the same order. expected_deviation: of a setup's own noise between seeds,
    examples apart, as other measurements let expect. unsettled: by how much more, per quality that a setup lies below the
    best observed, its seeds are expected to deviate."""
    (replicates,) = {by_seed.shape[1] for by_seed in resampled.values()}
    noise = seed_noise(spread_groups or list(per_seed.values()), _example_variance(resampled, per_seed), expected_deviation)
    random = np.random.default_rng([seed, noise.freedom])
    shared = random.chisquare(noise.freedom, replicates) / noise.freedom if noise.freedom else np.inf
    common = {
        numbers: np.mean([_normals(seed, f"seed {n}", replicates) for n in numbers], axis=0) * math.sqrt(noise.common)
        for numbers in {tuple(by_seed) for by_seed in per_seed.values()}
    }
    values = {}
    for name, by_seed in resampled.items():
        own = _normals(seed, name, replicates) * math.sqrt(noise.own / len(by_seed))
        values[name] = by_seed.mean(axis=0) + (own + common[tuple(per_seed[name])]) / np.sqrt(shared)
    observed = {name: float(np.mean(list(found.values()))) for name, found in per_seed.items()}
    deviation, best = math.sqrt(noise.own), max(observed.values())
    unsettled_variances = {
        name: ((deviation + unsettled * (best - quality)) ** 2 - noise.own) / len(per_seed[name])
        for name, quality in observed.items()
    }
    return Replicates(observed, values, deviation, math.sqrt(noise.common), unsettled_variances, limits=limits)


@lru_cache(maxsize=1024)
def _normals(seed: int, name: str, n: int) -> np.ndarray:
    return np.random.default_rng([seed, zlib.crc32(name.encode())]).normal(size=n)


def resample_examples(
    arrays: Sequence[np.ndarray],
    metric: MetricFunction,
    n: int,
    replicates: int,
    seed: int,
    copies: np.ndarray | None = None,
) -> list[np.ndarray]:
    """Of each array of rows the metric in each resample of the n examples, shape (B,). The resamples depend on n, their
    number, the seed and the copies alone, so arrays may be handed in one by one. copies: a number for each example, from 0,
    alike for copies of one; they are drawn together (the cluster bootstrap), for they tell no more than one does."""
    found = [np.empty(replicates) for _ in arrays]
    sampled = {size: nested_sample(n, size) for size in {len(rows) for rows in arrays}}
    for part, weights in example_weights(n, replicates, seed, copies):
        of_sample = {size: weights if size == n else weights[:, chosen] for size, chosen in sampled.items()}
        for values, rows in zip(found, arrays, strict=True):
            values[part] = metric(rows, of_sample[len(rows)])
    return found


def example_weights(
    n: int, replicates: int, seed: int, copies: np.ndarray | None = None
) -> Iterable[tuple[slice, np.ndarray]]:
    """Which replicates, and how often each of the n examples is in them, shape (replicates, n). Kept when it is one block and
    there are no copies."""
    if copies is not None:
        return _blocks_of_weights(n, replicates, seed, copies)
    weights = _kept_weights if n * replicates <= WEIGHTS_AT_ONCE else _blocks_of_weights
    return weights(n, replicates, seed)


def _blocks_of_weights(
    n: int, replicates: int, seed: int, copies: np.ndarray | None = None
) -> Iterator[tuple[slice, np.ndarray]]:
    random = np.random.default_rng(seed)
    different = n if copies is None else int(copies.max()) + 1
    block = max(1, WEIGHTS_AT_ONCE // n)
    for start in range(0, replicates, block):
        part = slice(start, min(start + block, replicates))
        drawn = random.multinomial(different, np.full(different, 1 / different), size=part.stop - start)
        yield part, (drawn if copies is None else drawn[:, copies]).astype(np.float64)


@lru_cache(maxsize=1)
def _kept_weights(n: int, replicates: int, seed: int) -> list[tuple[slice, np.ndarray]]:
    return list(_blocks_of_weights(n, replicates, seed))


def _example_variance(resampled: Mapping[str, np.ndarray], per_seed: Mapping[str, Mapping[int, float]]) -> float:
    """The part of the variance between seeds that is chance in the examples: seeds err on different ones.

    It is the variance between the seeds' bootstrap errors, pooled over the setups with several seeds.
    """
    squares, freedom = 0.0, 0
    for name, by_seed in resampled.items():
        errors = by_seed - np.array(list(per_seed[name].values()))[:, None]
        squares += float(((errors - errors.mean(axis=0)) ** 2).mean(axis=1).sum())
        freedom += len(by_seed) - 1
    return squares / freedom if freedom else 0.0


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


def comparators(replicates: Replicates, fresh_seeds: Mapping[str, int]) -> list[str]:
    """Whom a setup has to be shown against: the best observed, all that were trained again with a fresh seed, and of the
    others those that may be the best, as far as is expected of them, but in any case the two likeliest: what was held
    against nothing is not shown. What cannot be the best is no bar. fresh_seeds: by setup, how many."""
    expected = replicates.as_expected
    top = probability_within_margin(expected, 0.0)
    likeliest = sorted(top, key=lambda s: (top[s], expected.observed[s]))[-2:]
    best = max(replicates.observed, key=lambda s: replicates.observed[s])
    wanted = {best, *likeliest}
    return [name for name in replicates.values if name in wanted or fresh_seeds.get(name) or top[name] >= ALPHA]


def shown_as_good(replicates: Replicates, fresh_seeds: Mapping[str, int], criterion: NonInferiority) -> list[str]:
    """Those trained again with enough fresh seeds that are shown to be within the margin of the best of their comparators."""
    bounds = lower_bounds(replicates.as_expected.only(comparators(replicates, fresh_seeds)), criterion.alpha)
    return [s for s, bound in bounds.items() if bound > -criterion.margin and fresh_seeds.get(s, 0) >= CONFIRM_SEEDS]


def with_interval(
    rows: np.ndarray,
    metric: MetricFunction,
    limits: tuple[float, float],
    replicates: int = 2000,
    seed: int = 0,
    copies: np.ndarray | None = None,
) -> tuple[float, float, float]:
    """The quality of these rows, and the ends of its 95 % bootstrap interval over examples. copies: as for
    `resample_examples`."""
    found = resample_qualities({"rows": [rows]}, metric, replicates, seed, limits=limits, copies=copies)
    return (found.observed["rows"], *quality_interval(found, "rows"))


def quality_interval(replicates: Replicates, setup_id: str) -> tuple[float, float]:
    """95 % percentile interval of the setup's mean quality, over examples and seeds; about what is expected where that is not
    what was observed, and no wider than that is uncertain."""
    values = replicates.values[setup_id]
    middle, variance = float(values.mean()), max(float(values.var()), 1e-12)
    told_variance = variance + replicates.unsettled_variances.get(setup_id, 0.0)
    expected = replicates.expectations.get(setup_id)
    if expected is not None:
        told_variance = min(told_variance, expected.deviation**2 + expected.common_deviation**2)
        middle += expected.mean - replicates.observed[setup_id]
    ends = middle + math.sqrt(told_variance / variance) * (np.quantile(values, [0.025, 0.975]) - values.mean())
    low, high = np.clip(ends, *replicates.limits)
    return float(low), float(high)


def resolvable_difference(replicates: Replicates, setup_id: str, alpha: float = ALPHA) -> float:
    """The smallest margin at which the setup could have been shown non-inferior, had it been exactly as good as the
    best observed: the distance from its observed difference to its lower bound."""
    best = max(replicates.observed.values())
    return max(0.0, replicates.observed[setup_id] - best - lower_bounds(replicates, alpha)[setup_id])


def prediction_interval(
    qualities: Sequence[float],
    n_dev: int,
    example_error: float,
    pooled_sd: float | None = None,
    pooled_freedom: int | None = None,
    new_data: bool = False,
    limits: tuple[float, float] = (-math.inf, math.inf),
) -> tuple[float, float]:
    """Where the quality of one new seed falls, with 95 %: on the same dev data, or on as many new rows of the same kind.

    qualities: one per seed already measured. example_error: the standard error of one of them over the n_dev examples, in
    units of the metric. Student t on the spread between seeds (the given pooled one, else their own), widened by
    sqrt(1 + 1 / k); for new data the sampling noise of both dev sets is added. With neither several seeds nor a pooled
    figure, the sampling noise stands in for it. A few seeds that agree by chance do not promise more than to within one
    example. limits: the metric's lowest and highest possible value.
    """
    k, mean, sampling = len(qualities), float(np.mean(qualities)), example_error**2
    one_example = 4 * sampling / max(1, n_dev)  # (1 / n)^2 for a share of hits of one half
    if pooled_sd is not None:
        variance, freedom = max(pooled_sd**2, one_example), max(1, pooled_freedom or k - 1)
    elif k > 1:
        variance, freedom = max(float(np.var(qualities, ddof=1)), one_example), k - 1
    else:
        variance, freedom = sampling, 10**6
    spread = variance * (1 + 1 / k) + (2 * sampling if new_data else 0.0)
    half = float(stats.t.ppf(0.975, freedom)) * math.sqrt(spread)
    low, high = np.clip([mean - half, mean + half], *limits)
    return float(low), float(high)
