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
from peftcost.methods.places import place_of

GAIN = 0.03
"""What a doubling of the length is expected to bring, before anything was seen."""
COMMON, COMMON_GAIN = 0.3, 0.03
BASE, BASE_GAIN = 0.06, 0.03
METHOD, METHOD_GAIN = 0.04, 0.03
CHOICES, CHOICES_GAIN = 0.05, 0.02
"""Standard deviations of the terms, at scale 1."""
SCALES = (0.5, 1.0, 2.0, 4.0)
"""How far the setups of a task differ: the most likely of these."""
NEAR = 0.7
"""Distance of choices at which setups share e^(-1/2) of what is theirs."""
OWN_NOISES = (0.0075, 0.015, 0.03)
"""Deviation of the best one's readings that no sample explains, between seeds and from stop to stop: as likely as each is."""
UNSETTLED = 0.25
"""By so much more, per quality that it lies below the best, another one's reading errs: it may still take off, or diverge."""
SIMILARITIES = (0.6, 0.0)
"""Correlation of what setups are worth on two tasks, one of which was named as similar: one of these, see DOUBT."""
DOUBT = 1.0
"""How much likelier (log) the own measurements have to be with a similar task for it to be believed: a task that misleads
would cost a small budget more than a similar one saves."""
OWN = 0.3
"""Of the variance of a quality read on a sample: what is not common to all setups read on the same one."""
MOST = 300
"""Readings that are looked at, the best: what is poor no longer matters, and time grows with the cube."""


@dataclass(frozen=True)
class Seen:
    """One measurement of exploring. rows: the dev examples that its quality is of. task: 0 for the search's own,
    another number for each earlier run."""

    setup: Setup
    quality: float
    rows: int
    task: int = 0


@dataclass(frozen=True)
class Guess:
    """A quality that is thought to be normal."""

    mean: float
    deviation: float


class Outlook:
    """Guesses from what was seen. longest: the last stop of the search, in examples. own_noise: the deviation of the best
    one's readings that no sample explains; None before there are any."""

    def __init__(self, seen: Sequence[Seen], longest: int) -> None:
        self.longest = longest
        self._seen = sorted(seen, key=lambda s: (s.task != 0, -s.quality))[:MOST]
        self._setups = [s.setup for s in self._seen]
        self._several_bases = len({model_of(setup.arm) for setup in self._setups} - {None}) > 1
        self._tasks = np.array([s.task for s in self._seen], dtype=int)
        quality = np.array([s.quality for s in self._seen])
        noise = OWN * np.maximum(quality * (1 - quality), 0.01) / np.array([max(1, s.rows) for s in self._seen])
        levels = {task: float(quality[self._tasks == task].mean()) for task in set(self._tasks.tolist())}
        self._level = levels.get(0, float(np.mean(list(levels.values()))) if levels else 0.5)
        above = quality - np.array([levels[s.task] for s in self._seen]) - GAIN * self._doublings(self._setups)
        best = {task: float(quality[self._tasks == task].max()) for task in levels}
        beyond = UNSETTLED * (np.array([best[s.task] for s in self._seen]) - quality)
        same = self._tasks[:, None] == self._tasks
        shared = self._shared(self._setups, self._setups)
        self._scale, self._similar, self._factor, self._weights = 1.0, SIMILARITIES[0], None, above
        self.own_noise: float | None = None
        if len(quality):
            similarities = SIMILARITIES if len(levels) > 1 else SIMILARITIES[:1]
            kernels = {similar: shared * np.where(same, 1.0, similar) for similar in similarities}
            every = list(product(similarities, SCALES, OWN_NOISES))
            covariances = [
                scale**2 * kernels[similar] + COMMON**2 * same + np.diag(noise + (own + beyond) ** 2)
                for similar, scale, own in every
            ]
            earlier = np.flatnonzero(self._tasks) if len(levels) > 1 else np.array([], dtype=int)
            likelihoods = np.array(
                [
                    _log_likelihood(above, c)
                    - _log_likelihood(above[earlier], c[np.ix_(earlier, earlier)])
                    - DOUBT * (similar > 0)
                    for (similar, *_), c in zip(every, covariances, strict=True)
                ]
            )
            likeliest = int(likelihoods.argmax())
            self._similar, self._scale, _ = every[likeliest]
            self._factor = cho_factor(covariances[likeliest])
            chances = np.exp(likelihoods - likelihoods.max())
            self.own_noise = float(np.average([own**2 for *_, own in every], weights=chances)) ** 0.5
            self._weights = cho_solve(self._factor, above)

    def guesses(self, setups: Sequence[Setup]) -> list[Guess]:
        """Of any setups of any length, begun or not."""
        if not setups:
            return []
        mean = self._level + GAIN * self._doublings(setups)
        variance = COMMON**2 + self._scale**2 * self._variance(setups)
        if self._factor is not None:
            across = self._across(setups)
            mean = mean + across @ self._weights
            variance = variance - np.einsum("ij,ji->i", across, cho_solve(self._factor, across.T))
        return [Guess(float(m), float(v) ** 0.5) for m, v in zip(mean, np.maximum(variance, 1e-8), strict=True)]

    def draws(self, setups: Sequence[Setup], n: int) -> np.ndarray:
        """Qualities of all setups at once, n times, shape (n, setups); always the same ones."""
        guesses = self.guesses(setups)
        covariance = COMMON**2 + self._scale**2 * self._shared(setups, setups)
        if self._factor is not None:
            across = self._across(setups)
            covariance = covariance - across @ cho_solve(self._factor, across.T)
        covariance[np.diag_indices(len(setups))] = [guess.deviation**2 for guess in guesses]
        spread, axes = np.linalg.eigh(covariance)
        normal = np.random.default_rng(len(setups)).normal(size=(n, len(setups)))
        return np.array([guess.mean for guess in guesses]) + normal @ (axes * np.sqrt(np.maximum(spread, 0.0))).T

    def _across(self, setups: Sequence[Setup]) -> np.ndarray:
        """Covariance of setups with what was seen."""
        own = self._tasks == 0
        shared = self._shared(setups, self._setups) * np.where(own, 1.0, self._similar)
        return COMMON**2 * own + self._scale**2 * shared

    def _doublings(self, setups: Sequence[Setup]) -> np.ndarray:
        """Of the length, from the longest stop on: negative below it."""
        return np.log2(np.maximum([float(s.stop_examples) for s in setups], 1.0) / self.longest)

    def _shared(self, ones: Sequence[Setup], others: Sequence[Setup]) -> np.ndarray:
        """Covariance at scale 1 of two lists of setups, less what is common to all."""
        t = np.outer(self._doublings(ones), self._doublings(others))
        found = COMMON_GAIN**2 * t
        if self._several_bases:
            same = np.array([[model_of(one.arm) == model_of(other.arm) for other in others] for one in ones])
            found += (BASE**2 + BASE_GAIN**2 * t) * same.reshape(t.shape)
        for arm in {s.arm for s in ones} & {s.arm for s in others}:
            rows, columns = (np.array([i for i, s in enumerate(a) if s.arm == arm]) for a in (ones, others))
            places = ([_place(a[i]) for i in at] for a, at in ((ones, rows), (others, columns)))
            apart = cdist(*(np.array(each) for each in places), "sqeuclidean")
            near, block = np.exp(-0.5 * apart / NEAR**2), np.ix_(rows, columns)
            found[block] += METHOD**2 + CHOICES**2 * near + (METHOD_GAIN**2 + CHOICES_GAIN**2 * near) * t[block]
        return found

    def _variance(self, setups: Sequence[Setup]) -> np.ndarray:
        base, base_gain = (BASE, BASE_GAIN) if self._several_bases else (0.0, 0.0)
        gains = COMMON_GAIN**2 + base_gain**2 + METHOD_GAIN**2 + CHOICES_GAIN**2
        return np.asarray(base**2 + METHOD**2 + CHOICES**2 + gains * self._doublings(setups) ** 2)


@lru_cache(maxsize=100_000)
def _place(setup: Setup) -> np.ndarray:
    """Where the setup's choices lie in its method's space."""
    return place_of(setup.hyperparameters, get_method(setup.method).space())


def _log_likelihood(values: np.ndarray, covariance: np.ndarray) -> float:
    """Of normal values, up to a constant; 0 of none."""
    if not len(values):
        return 0.0
    factor = cho_factor(covariance)
    return float(-0.5 * values @ cho_solve(factor, values) - np.log(np.diag(factor[0])).sum())
