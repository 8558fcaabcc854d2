"""What quality a setup will have, measured or not: guesses from what this search has measured. Pure.

A Gaussian process with a plain additive form. With t the doublings of length that are missing to the longest stop,

    quality = common - common gain * t + method - method's gain * t + choices - choices' gain * t + reading noise

(and base - base's gain * t where there are several bases, on each of which a method counts as another),

where each term is normal, and two setups of one method share more of the last two terms the nearer their choices are (the
same lineage all of it). At the longest stop methods differ less than they do on the way, since some learn late: a poor start
speaks of a method's gain more than of its end. Gains are learnt from a method's own promotions, and from others' as long as
there are none; and one more setup of a method that has many is expected to be what they were. What earlier runs on other
tasks have measured shares most of that, once that is clearly more likely, or nothing, and never the common level. A reading
errs by its sample of dev, and by more the farther it lies below the best.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.spatial.distance import cdist

from peftcost.core.setup import Setup, model_of
from peftcost.methods import get_method
from peftcost.methods.encoding import encode
from peftcost.searcher.config import DEFAULT_CONFIG, SearchConfig


@dataclass(frozen=True)
class Observation:
    """One measurement of exploring. rows: the dev examples that its quality is of. task: 0 for the search's own,
    another number for each earlier run."""

    setup: Setup
    quality: float
    rows: int
    task: int = 0


@dataclass(frozen=True)
class Posterior:
    """A quality that is thought to be normal."""

    mean: float
    deviation: float


class Surrogate:
    """Predicts quality from observations. longest: the last stop of the search, in examples. own_noise: the deviation of the
    best one's readings that no sample explains; None before there are any."""

    def __init__(self, observations: Sequence[Observation], longest: int, config: SearchConfig = DEFAULT_CONFIG) -> None:
        self.longest, self.config = longest, config
        self._observations = sorted(observations, key=lambda s: (s.task != 0, -s.quality))[: config.most_readings]
        self._setups = [s.setup for s in self._observations]
        self._several_bases = len({model_of(setup.arm) for setup in self._setups} - {None}) > 1
        self._tasks = np.array([s.task for s in self._observations], dtype=int)
        quality = np.array([s.quality for s in self._observations])
        rows = np.array([max(1, s.rows) for s in self._observations])
        noise = config.own_sample_share * np.maximum(quality * (1 - quality), 0.01) / rows
        levels = {task: float(quality[self._tasks == task].mean()) for task in set(self._tasks.tolist())}
        self._level = levels.get(0, float(np.mean(list(levels.values()))) if levels else 0.5)
        level = np.array([levels[s.task] for s in self._observations])
        above = quality - level - config.expected_gain * self._doublings(self._setups)
        best = {task: float(quality[self._tasks == task].max()) for task in levels}
        beyond = config.unsettled_readings * (np.array([best[s.task] for s in self._observations]) - quality)
        same = self._tasks[:, None] == self._tasks
        shared = self._shared(self._setups, self._setups)
        self._scale, self._similar, self._factor, self._weights = 1.0, config.similarities[0], None, above
        self.own_noise: float | None = None
        if len(quality):
            similarities = config.similarities if len(levels) > 1 else config.similarities[:1]
            kernels = {similar: shared * np.where(same, 1.0, similar) for similar in similarities}
            every = list(product(similarities, config.scales, config.own_noises))
            covariances = [
                scale**2 * kernels[similar] + config.common_deviation**2 * same + np.diag(noise + (own + beyond) ** 2)
                for similar, scale, own in every
            ]
            earlier = np.flatnonzero(self._tasks) if len(levels) > 1 else np.array([], dtype=int)
            likelihoods = np.array(
                [
                    _log_likelihood(above, c)
                    - _log_likelihood(above[earlier], c[np.ix_(earlier, earlier)])
                    - config.doubt * (similar > 0)
                    for (similar, *_), c in zip(every, covariances, strict=True)
                ]
            )
            likeliest = int(likelihoods.argmax())
            self._similar, self._scale, _ = every[likeliest]
            self._factor = cho_factor(covariances[likeliest])
            chances = np.exp(likelihoods - likelihoods.max())
            self.own_noise = float(np.average([own**2 for *_, own in every], weights=chances)) ** 0.5
            self._weights = cho_solve(self._factor, above)

    def predict(self, setups: Sequence[Setup]) -> list[Posterior]:
        """Of any setups of any length, begun or not."""
        if not setups:
            return []
        mean = self._level + self.config.expected_gain * self._doublings(setups)
        variance = self.config.common_deviation**2 + self._scale**2 * self._variance(setups)
        if self._factor is not None:
            across = self._across(setups)
            mean = mean + across @ self._weights
            variance = variance - np.einsum("ij,ji->i", across, cho_solve(self._factor, across.T))
        return [Posterior(float(m), float(v) ** 0.5) for m, v in zip(mean, np.maximum(variance, 1e-8), strict=True)]

    def sample(self, setups: Sequence[Setup], n: int) -> np.ndarray:
        """Qualities of all setups at once, n times, shape (n, setups); always the same ones."""
        posteriors = self.predict(setups)
        covariance = self.config.common_deviation**2 + self._scale**2 * self._shared(setups, setups)
        if self._factor is not None:
            across = self._across(setups)
            covariance = covariance - across @ cho_solve(self._factor, across.T)
        covariance[np.diag_indices(len(setups))] = [posterior.deviation**2 for posterior in posteriors]
        spread, axes = np.linalg.eigh(covariance)
        normal = np.random.default_rng(len(setups)).normal(size=(n, len(setups)))
        return np.array([posterior.mean for posterior in posteriors]) + normal @ (axes * np.sqrt(np.maximum(spread, 0.0))).T

    def _across(self, setups: Sequence[Setup]) -> np.ndarray:
        """Covariance of setups with the observations."""
        own = self._tasks == 0
        shared = self._shared(setups, self._setups) * np.where(own, 1.0, self._similar)
        return self.config.common_deviation**2 * own + self._scale**2 * shared

    def _doublings(self, setups: Sequence[Setup]) -> np.ndarray:
        """Of the length, from the longest stop on: negative below it."""
        return np.log2(np.maximum([float(s.stop_examples) for s in setups], 1.0) / self.longest)

    def _shared(self, ones: Sequence[Setup], others: Sequence[Setup]) -> np.ndarray:
        """Covariance at scale 1 of two lists of setups, less what is common to all."""
        config, t = self.config, np.outer(self._doublings(ones), self._doublings(others))
        found = config.common_gain_deviation**2 * t
        if self._several_bases:
            same = np.array([[model_of(one.arm) == model_of(other.arm) for other in others] for one in ones])
            found += (config.base_deviation**2 + config.base_gain_deviation**2 * t) * same.reshape(t.shape)
        for arm in {s.arm for s in ones} & {s.arm for s in others}:
            rows, columns = (np.array([i for i, s in enumerate(a) if s.arm == arm]) for a in (ones, others))
            vectors = ([_vector(a[i]) for i in at] for a, at in ((ones, rows), (others, columns)))
            apart = cdist(*(np.array(each) for each in vectors), "sqeuclidean")
            near, block = np.exp(-0.5 * apart / config.near_distance**2), np.ix_(rows, columns)
            gains = config.method_gain_deviation**2 + config.choices_gain_deviation**2 * near
            found[block] += config.method_deviation**2 + config.choices_deviation**2 * near + gains * t[block]
        return found

    def _variance(self, setups: Sequence[Setup]) -> np.ndarray:
        config = self.config
        base, base_gain = (config.base_deviation, config.base_gain_deviation) if self._several_bases else (0.0, 0.0)
        level = base**2 + config.method_deviation**2 + config.choices_deviation**2
        gains = config.common_gain_deviation**2 + base_gain**2 + config.method_gain_deviation**2
        gains += config.choices_gain_deviation**2
        return np.asarray(level + gains * self._doublings(setups) ** 2)


@lru_cache(maxsize=100_000)
def _vector(setup: Setup) -> np.ndarray:
    """The setup's choices as a vector of its method's space."""
    return encode(setup.hyperparameters, get_method(setup.method).space())


def _log_likelihood(values: np.ndarray, covariance: np.ndarray) -> float:
    """Of normal values, up to a constant; 0 of none."""
    if not len(values):
        return 0.0
    factor = cho_factor(covariance)
    return float(-0.5 * values @ cho_solve(factor, values) - np.log(np.diag(factor[0])).sum())
