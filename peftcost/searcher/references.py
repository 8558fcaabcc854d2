"""Whether the reference methods have learnt what they can, so that advice is about what is worth training and not about what
was tried. Pure.

A reference is judged by its own curve, since a method that learns late looks hopeless to whatever has seen others learn.
With q its expected quality at its longest stop, g the gain of the last doubling of the length, f the one before that, and d
the doublings ahead,

    quality ahead = q + d g min(1, g / f)

is normal, as the readings are: curves flatten in the end, and before that a gain may be followed by a larger one. After one
reading nothing is known of the curve, nor while the method is hardly better than the simplest baseline: it may not have begun
to learn (on 700 rows of WNUT-16 full reads .00 and .02 after .75 and 1.5 epochs, .44 after six; a LoRA .00, .00, .10, .24).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from scipy import stats

from peftcost.core.setup import Setup
from peftcost.searcher.actions import Promote, Propose
from peftcost.searcher.explore import promotions, surrogate_of
from peftcost.searcher.state import SearchState
from peftcost.searcher.trial import Trial


@dataclass(frozen=True)
class Reference:
    """A reference method's longest training. curve: its trials up to there. chance: that training it on, to twice its length
    or to the recommended setup's, makes it better than that by more than the margin."""

    curve: tuple[Trial, ...]
    chance: float

    @property
    def trial(self) -> Trial:
        """The last of the curve."""
        return self.curve[-1]


def rising_at(state: SearchState, recommended: Setup, margin: float) -> list[Reference]:
    """The references that were measured and are likely enough to overtake, if they are trained on."""
    curves = [curve for arm in state.references if (curve := longest_curve(state, arm))]
    found = [Reference(curve, chance_of(state, curve, recommended, margin)) for curve in curves]
    return [reference for reference in found if reference.chance >= least_chance(state, reference, recommended)]


def least_chance(state: SearchState, reference: Reference, recommended: Setup) -> float:
    """At which a reference counts as rising: one that was trained for less than the recommended setup was never held against
    it at the same length."""
    is_shorter = reference.trial.setup.stop_examples < recommended.stop_examples
    return state.config.shorter_rising_chance if is_shorter else state.config.rising_chance


def chance_of(state: SearchState, curve: tuple[Trial, ...], recommended: Setup, margin: float) -> float:
    """That the quality ahead lies above the recommended setup's by more than the margin; not where the metric ends before."""
    level, bar = (p.mean for p in surrogate_of(state).predict([curve[-1].setup, recommended]))
    if bar + margin >= state.limits[1]:
        return 0.0
    if len(curve) == 1 or not has_begun(state, curve[-1]):
        return 1.0
    lengths = [math.log2(trial.setup.stop_examples) for trial in curve]
    gains = [(reading(b) - reading(a)) / (t - s) for (a, s), (b, t) in pairwise(zip(curve, lengths, strict=True))]
    before, last = gains[-2:] if len(gains) > 1 else (gains[0], gains[0])
    flattening = min(1.0, max(0.0, last / before)) if before > 0 else 1.0
    ahead = max(math.log2(state.config.stop_factor), math.log2(recommended.stop_examples) - lengths[-1])
    error = reading_deviation(state, curve[-1]) * math.hypot(1 + ahead, ahead, 1.0)  # of the readings, and of recommended's
    return float(stats.norm.sf(bar + margin, level + ahead * last * flattening, error))


def has_begun(state: SearchState, trial: Trial) -> bool:
    """Whether the trial is clearly better than the simplest baseline. Also where no stop lies ahead."""
    return trial.setup.stop_examples >= state.stops[-1] or above_floor(state, trial)


def above_floor(state: SearchState, trial: Trial) -> bool:
    """Whether the trial is better than the simplest baseline by more than its reading errs, and by a share of what the best
    reading is: the first steps out of guessing are small, whatever follows."""
    assert trial.measurement is not None
    if state.floor is None:
        return True
    (best,) = state.explored.best(1)
    enough = max(state.reading_error(trial.measurement), state.config.begun_share * (reading(best) - state.floor))
    return reading(trial) > state.floor + enough


def reading_deviation(state: SearchState, trial: Trial) -> float:
    """Of a reading, beyond what is common to all that were read on the same examples."""
    assert trial.measurement is not None
    own = surrogate_of(state).own_noise or 0.0
    return math.hypot(own, math.sqrt(state.config.own_sample_share) * state.reading_error(trial.measurement))


def begin(state: SearchState, margin: float, available: float) -> Promote | Propose | None:
    """The next stop of a reference that has not begun to learn: until it has, its readings say nothing of its method. None
    where nothing could be better than what was read by more than the margin."""
    if any(reading(t) + margin >= state.limits[1] for t in state.measured("explore")):
        return None
    latest = [curve[-1] for arm in state.references if (curve := longest_curve(state, arm))]
    return train_on(state, [trial for trial in latest if not has_begun(state, trial)], available)


def follow(state: SearchState, recommended: Setup, margin: float, available: float) -> Promote | Propose | None:
    """The next stop of a reference that is still rising."""
    return train_on(state, [reference.trial for reference in rising_at(state, recommended, margin)], available)


def train_on(state: SearchState, trials: Sequence[Trial], available: float) -> Promote | Propose | None:
    """The next stop of one of the trials, the cheapest, if that can be paid for."""
    numbers = {trial.number for trial in trials}
    ahead = [c for c in promotions(state) if isinstance(c.action, Promote) and c.action.trial in numbers] if numbers else []
    cheapest = min(ahead, key=lambda candidate: candidate.needs[0], default=None)
    return cheapest.action if cheapest is not None and cheapest.needs[0] <= available else None


def longest_curve(state: SearchState, arm: str) -> tuple[Trial, ...]:
    """The trials, by length, of the arm's longest lineage, of several the best one, of those that have begun to learn; where
    none has, of the one whose dev loss is the lowest, since all qualities are alike. None before anything was measured."""
    own = [t for t in state.measured("explore") if t.setup.arm == arm]
    begun = [t for t in own if above_floor(state, t)]
    if begun:
        longest = max(begun, key=lambda t: (t.setup.stop_examples, reading(t)))
    elif own:
        longest = min(own, key=lambda t: (dev_loss(t), -t.setup.stop_examples))
    else:
        return ()
    lineage = [t for t in own if t.setup.lineage == longest.setup.lineage]
    return tuple(sorted(lineage, key=lambda t: t.setup.stop_examples))


def dev_loss(trial: Trial) -> float:
    """Infinite where it is not known."""
    assert trial.measurement is not None
    return math.inf if math.isnan(trial.measurement.dev_loss) else trial.measurement.dev_loss


def reading(trial: Trial) -> float:
    """The quality of a measured trial, as it was read."""
    assert trial.measurement is not None
    return trial.measurement.quality
