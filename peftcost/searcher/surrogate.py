"""What quality a setup will have, measured or not: guesses from what this search has measured. Pure.

A Gaussian process with a plain additive form. With t the doublings of length that are missing to the longest stop,

    quality = common - common gain * t + method - method's gain * t + choices - choices' gain * t + reading noise

(and base - base's gain * t where there are several bases, on each of which a method counts as another),

where each term is normal, and two setups of one method share more of the last two terms the nearer their choices are (the
same lineage all of it). At the longest stop methods differ less than they do on the way, since some learn late: a poor start
speaks of a method's gain more than of its end. Gains are learnt from a method's own promotions, and from others' as long as
there are none; and one more setup of a method that has many is expected to be what they were. A reading errs by its sample of
dev (as much as the bootstrap says), and by more the farther it lies below the best. Qualities count in units of the metric's
range, so that a correlation or a loss is predicted as a share of hits is.
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
    """One measurement of exploring. error: the standard error of its quality over the dev examples, by the bootstrap."""

    setup: Setup
    quality: float
    error: float


@dataclass(frozen=True)
class Posterior:
    """A quality that is thought to be normal."""

    mean: float
    deviation: float


class Surrogate:
    """Predicts quality from observations. longest: the last stop of the search, in examples. unit: the width of the metric's
    range; the deviations of the config are shares of it. own_noise: the deviation of the best one's readings that no sample
    explains, None before there are any."""

    def __init__(
        self, observations: Sequence[Observation], longest: int, config: SearchConfig = DEFAULT_CONFIG, unit: float = 1.0
    ) -> None:
        self.longest, self.config, self.unit = longest, config, unit
        observations = sorted(observations, key=lambda o: -o.quality)[: config.most_readings]
        self._setups = [o.setup for o in observations]
        self._several_bases = len({model_of(setup.arm) for setup in self._setups} - {None}) > 1
        quality = np.array([o.quality for o in observations]) / unit
        noise = config.own_sample_share * (np.array([o.error for o in observations]) / unit) ** 2
        self._level = float(quality.mean()) if len(quality) else 0.5
        above = quality - self._level - config.expected_gain * self._doublings(self._setups)
        self._scale, self._factor, self._weights = 1.0, None, above
        self.own_noise: float | None = None
        if len(quality):
            beyond = config.unsettled_readings * (quality.max() - quality)
            shared = self._shared(self._setups, self._setups)
            every = list(product(config.scales, config.own_noises))
            factors = [
                cho_factor(scale**2 * shared + config.common_deviation**2 + np.diag(noise + (own + beyond) ** 2))
                for scale, own in every
            ]
            likelihoods = np.array([_log_likelihood(above, factor) for factor in factors])
            likeliest = int(likelihoods.argmax())
            (self._scale, _), self._factor = every[likeliest], factors[likeliest]
            chances = np.exp(likelihoods - likelihoods.max())
            self.own_noise = unit * float(np.average([own**2 for _, own in every], weights=chances)) ** 0.5
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
        unit, deviations = self.unit, np.sqrt(np.maximum(variance, 1e-8))
        return [Posterior(unit * float(m), unit * float(d)) for m, d in zip(mean, deviations, strict=True)]

    def sample(self, setups: Sequence[Setup], n: int) -> np.ndarray:
        """Qualities of all setups at once, n times, shape (n, setups); always the same ones."""
        posteriors = self.predict(setups)
        covariance = self.config.common_deviation**2 + self._scale**2 * self._shared(setups, setups)
        if self._factor is not None:
            across = self._across(setups)
            covariance = covariance - across @ cho_solve(self._factor, across.T)
        covariance[np.diag_indices(len(setups))] = [(p.deviation / self.unit) ** 2 for p in posteriors]
        spread, axes = np.linalg.eigh(covariance)
        normal = np.random.default_rng(len(setups)).normal(size=(n, len(setups)))
        errors = normal @ (axes * np.sqrt(np.maximum(spread, 0.0))).T
        return np.asarray(np.array([p.mean for p in posteriors]) + self.unit * errors)

    def _across(self, setups: Sequence[Setup]) -> np.ndarray:
        """Covariance of setups with the observations."""
        return self.config.common_deviation**2 + self._scale**2 * self._shared(setups, self._setups)

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


def _log_likelihood(values: np.ndarray, factor: tuple[np.ndarray, bool]) -> float:
    """Of normal values, up to a constant. factor: of their covariance, by `cho_factor`."""
    return float(-0.5 * values @ cho_solve(factor, values) - np.log(np.diag(factor[0])).sum())
