"""What quality a lineage will have at a later stop, and what a lineage not begun yet may have. Pure.

Everything is read off what this search has measured, with weak priors where it has measured little: a quality read on a
sample of dev is drawn towards what its dev loss says of it (losses rank setups better than accuracies of small samples do);
what training on brings is the mean of what it brought others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

PRIOR_GAIN, PRIOR_SPREAD = 0.02, 0.03
"""What the step from one stop to the next brings, and how far setups differ, before anything was seen."""
PRIOR_WEIGHT = 2.0
"""As many measurements as the priors count for."""
FEWEST_FOR_A_LINE = 4
"""Setups at one stop, before their losses say something of their qualities."""
OWN = 0.3
"""Of the variance of a quality read on a sample: what is not common to all setups read on the same one."""


@dataclass(frozen=True)
class Seen:
    """One measurement of exploring. rows: the dev examples that quality and dev_loss are of."""

    method: str
    lineage: str
    stop_examples: int
    quality: float
    dev_loss: float
    rows: int


@dataclass(frozen=True)
class Guess:
    """A quality that is thought to be normal."""

    mean: float
    deviation: float


class Outlook:
    """Guesses from what was seen. stops: the search's stops, ascending."""

    def __init__(self, seen: Sequence[Seen], stops: Sequence[int]) -> None:
        self.stops = list(stops)
        self._now: dict[tuple[str, int], Guess] = {}
        for stop in {s.stop_examples for s in seen}:
            self._now |= _drawn_to_the_line([s for s in seen if s.stop_examples == stop])
        self._methods = {s.lineage: s.method for s in seen}
        self._gains = {b: self._gain(a, b) for a, b in pairwise(self.stops)}

    def now(self, lineage: str, stop: int) -> Guess:
        """At a stop where it was measured. KeyError elsewhere."""
        return self._now[lineage, stop]

    def later(self, lineage: str, since: int, stop: int) -> Guess:
        """At a stop above the one where it was measured last."""
        return self._onward(self.now(lineage, since), since, stop)

    def new(self, method: str, stop: int, begins: int | None = None) -> Guess:
        """Of a lineage of this method that is not begun yet. begins: the stop where it is measured first, of which the
        method's others tell most; the first of all by default."""
        begins = self.stops[0] if begins is None else begins
        here = [guess.mean for (lineage, at), guess in self._now.items() if at == begins and self._methods[lineage] == method]
        everywhere = [guess.mean for (_, at), guess in self._now.items() if at == self.stops[0]]
        if not everywhere and not here:
            return Guess(0.5, 0.5)
        since = begins if here else self.stops[0]
        mean = float(np.mean(here or everywhere))
        squares = sum((value - mean) ** 2 for value in here)
        spread = ((PRIOR_WEIGHT * PRIOR_SPREAD**2 + squares) / (PRIOR_WEIGHT + max(0, len(here) - 1))) ** 0.5
        return self._onward(Guess(mean, spread), since, stop)

    def _onward(self, guess: Guess, since: int, stop: int) -> Guess:
        steps = [self._gains[s] for s in self.stops if since < s <= stop]
        mean = guess.mean + sum(step.mean for step in steps)
        return Guess(mean, float(np.hypot(guess.deviation, np.sqrt(sum(step.deviation**2 for step in steps)))))

    def _gain(self, a: int, b: int) -> Guess:
        """What lineages that were measured at both stops gained, with the prior."""
        gains = [
            self._now[lineage, b].mean - guess.mean for (lineage, at), guess in self._now.items() if at == a
            and (lineage, b) in self._now
        ]  # fmt: skip
        weight = PRIOR_WEIGHT + len(gains)
        mean = (PRIOR_WEIGHT * PRIOR_GAIN + sum(gains)) / weight
        squares = sum((gain - mean) ** 2 for gain in gains) + PRIOR_WEIGHT * PRIOR_SPREAD**2
        return Guess(mean, float(np.sqrt(squares / weight)))


def _drawn_to_the_line(seen: Sequence[Seen]) -> dict[tuple[str, int], Guess]:
    """Guesses of the setups of one stop: between what was observed and the line of quality on dev loss, each by its
    weight (empirical Bayes)."""
    quality, loss = np.array([s.quality for s in seen]), np.array([s.dev_loss for s in seen])
    noise = np.array([OWN * max(q * (1 - q), 0.01) / max(1, s.rows) for q, s in zip(quality, seen, strict=True)])
    mean, variance = quality, noise
    if len(seen) >= FEWEST_FOR_A_LINE and np.ptp(loss) > 1e-9:
        slope, intercept = np.polyfit(loss, quality, 1)
        line = intercept + min(slope, 0.0) * loss if slope < 0 else np.full_like(quality, quality.mean())
        residual = float(((quality - line) ** 2).sum()) / (len(seen) - 2)
        beyond = max(residual - float(noise.mean()), 0.1 * residual)  # how far setups lie off the line in truth
        trust = beyond / (beyond + noise)
        mean, variance = line + trust * (quality - line), trust * noise + (1 - trust) * beyond / len(seen)
    return {
        (s.lineage, s.stop_examples): Guess(float(m), float(np.sqrt(v))) for s, m, v in zip(seen, mean, variance, strict=True)
    }
