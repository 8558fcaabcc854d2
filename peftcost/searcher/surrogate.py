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
from peftcost.searcher.config import SearchConfig


@dataclass(frozen=True)
class Observation:
    """One measurement of exploring. error: the standard error of its quality over the dev examples, by the bootstrap."""

    setup: Setup
    quality: float
    error: float


Elements = np.ndarray | float


class Surrogate:
    """Predicts quality from observations. longest: the last stop of the search, in examples. unit: the width of the metric's
    range; the deviations of the config are shares of it. own_noise: the deviation of the best one's readings that no sample
    explains, None before there are any."""

    def __init__(self, observations: Sequence[Observation], longest: int, config: SearchConfig, unit: float) -> None:
        self.longest, self.config, self.unit = longest, config, unit
        self._setups = [o.setup for o in observations]
        self._several_bases = len({model_of(setup.arm) for setup in self._setups} - {None}) > 1
        quality = np.array([o.quality for o in observations]) / unit
        noise = config.own_sample_share * (np.array([o.error for o in observations]) / unit) ** 2
        self._level = float(quality.mean()) if len(quality) else 0.5
        above = quality - self._level - config.expected_gain * self._doublings(self._setups)
        self._scale, self._factor, self._weights = 1.0, cho_factor(np.empty((0, 0))), above
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

    def predict(self, setups: Sequence[Setup]) -> tuple[np.ndarray, np.ndarray]:
        """Means and deviations of any setups of any length, begun or not; each quality is thought to be normal."""
        doublings = self._doublings(setups)
        mean = self._level + self.config.expected_gain * doublings
        variance = self.config.common_deviation**2 + self._scale**2 * self._terms(doublings**2, self._several_bases, 1.0, 1.0)
        across = self._covariance(setups, self._setups)
        mean += across @ self._weights
        variance -= np.einsum("ij,ji->i", across, cho_solve(self._factor, across.T))
        return self.unit * mean, self.unit * np.sqrt(np.maximum(variance, 1e-8))

    def sample(self, setups: Sequence[Setup], n: int) -> np.ndarray:
        """Qualities of all setups at once, n times, shape (n, setups); always the same ones."""
        means, deviations = self.predict(setups)
        across = self._covariance(setups, self._setups)
        covariance = self._covariance(setups, setups) - across @ cho_solve(self._factor, across.T)
        covariance *= self.unit**2
        np.fill_diagonal(covariance, deviations**2)
        random = np.random.default_rng(len(setups))
        return random.multivariate_normal(means, covariance, n, check_valid="ignore", method="eigh")

    def _doublings(self, setups: Sequence[Setup]) -> np.ndarray:
        """Of the length, from the longest stop on: negative below it."""
        return np.log2(np.maximum([float(s.stop_examples) for s in setups], 1.0) / self.longest)

    def _covariance(self, ones: Sequence[Setup], others: Sequence[Setup]) -> np.ndarray:
        """Of two lists of setups, before anything was seen."""
        return self.config.common_deviation**2 + self._scale**2 * self._shared(ones, others)

    def _shared(self, ones: Sequence[Setup], others: Sequence[Setup]) -> np.ndarray:
        """Covariance at scale 1 of two lists of setups, less what is common to all."""
        near = np.zeros((len(ones), len(others)))
        for arm in {s.arm for s in ones} & {s.arm for s in others}:
            rows, columns = ([i for i, s in enumerate(a) if s.arm == arm] for a in (ones, others))
            apart = cdist([_vector(ones[i]) for i in rows], [_vector(others[i]) for i in columns], "sqeuclidean")
            near[np.ix_(rows, columns)] = np.exp(-0.5 * apart / self.config.near_distance**2)
        bases = [np.array([model_of(s.arm) for s in a], dtype=object) for a in (ones, others)]
        same_base = self._several_bases & (bases[0][:, None] == bases[1])
        doublings = np.outer(self._doublings(ones), self._doublings(others))
        return self._terms(doublings, same_base, near > 0, near)

    def _terms(self, doublings: Elements, same_base: Elements, same_arm: Elements, near: Elements) -> np.ndarray:
        """The same, by element. doublings: of the one times of the other. near: how alike the choices of two setups are."""
        config = self.config
        common = config.common_gain_deviation**2 * doublings
        base = (config.base_deviation**2 + config.base_gain_deviation**2 * doublings) * same_base
        gain = config.method_gain_deviation**2 * same_arm + config.choices_gain_deviation**2 * near
        own = config.method_deviation**2 * same_arm + config.choices_deviation**2 * near + gain * doublings
        return np.asarray(common + base + own)


@lru_cache(maxsize=100_000)
def _vector(setup: Setup) -> np.ndarray:
    """The setup's choices as a vector of its method's space."""
    return encode(setup.hyperparameters, get_method(setup.method).space())


def _log_likelihood(values: np.ndarray, factor: tuple[np.ndarray, bool]) -> float:
    """Of normal values, up to a constant. factor: of their covariance, by `cho_factor`."""
    return float(-0.5 * values @ cho_solve(factor, values) - np.log(np.diag(factor[0])).sum())
