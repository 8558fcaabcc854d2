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
from collections.abc import Mapping, Sequence
from itertools import pairwise

from scipy import stats

from peftcost.core.setup import Setup
from peftcost.searcher.actions import Explore
from peftcost.searcher.explore import promotion_of, surrogate_of
from peftcost.searcher.state import SearchState
from peftcost.searcher.trial import Trial

Curve = tuple[Trial, ...]
"""The measured trials of a lineage, by length."""


Expected = Mapping[str, float]
"""By setup id, the quality that all of the evidence lets expect, fresh seeds included."""


def rising_at(state: SearchState, recommended: Setup, margin: float, expected: Expected) -> list[Curve]:
    """Of the references that were measured and are likely enough to overtake, if they are trained on."""
    curves = curves_of(state)
    return [c for c in curves if chance_of(state, c, recommended, margin, expected) >= least_chance(state, c, recommended)]


def curves_of(state: SearchState) -> list[Curve]:
    """Of each reference that was measured."""
    return [curve for arm in state.references if (curve := longest_curve(state, arm))]


def least_chance(state: SearchState, curve: Curve, recommended: Setup) -> float:
    """At which a reference counts as rising. Where something is to be confirmed, less is enough for one that was trained for
    less than the recommended setup: it was never held against it at the same length."""
    is_shorter = curve[-1].setup.stop_examples < recommended.stop_examples
    return state.config.shorter_rising_chance if state.confirmed and is_shorter else state.config.rising_chance


def chance_of(state: SearchState, curve: Curve, recommended: Setup, margin: float, expected: Expected) -> float:
    """That training on, to twice the length or to the recommended setup's, makes the reference better than that by more than
    the margin; not where the metric ends before."""
    level, bar = expected_of(state, (curve[-1].setup, recommended), expected)
    if bar + margin >= state.limits[1]:
        return 0.0
    if len(curve) == 1 or not has_begun(state, curve[-1]):
        return 1.0
    lengths = [math.log2(trial.setup.stop_examples) for trial in curve]
    readings = [trial.measured.quality for trial in curve]
    gains = [(b - a) / (t - s) for (a, s), (b, t) in pairwise(zip(readings, lengths, strict=True))]
    before, last = gains[-2:] if len(gains) > 1 else (gains[0], gains[0])
    flattening = min(1.0, max(0.0, last / before)) if before > 0 else 1.0
    ahead = max(math.log2(state.config.stop_factor), math.log2(recommended.stop_examples) - lengths[-1])
    error = reading_deviation(state, curve[-1]) * math.hypot(1 + ahead, ahead, 1.0)  # of the readings, and of recommended's
    return float(stats.norm.sf(bar + margin, level + ahead * last * flattening, error))


def expected_of(state: SearchState, setups: Sequence[Setup], expected: Expected) -> list[float]:
    """Of each setup; where the evidence was not worked out for one of them, what exploring alone lets expect of all."""
    if all(setup.id in expected for setup in setups):
        return [expected[setup.id] for setup in setups]
    return surrogate_of(state).predict(setups)[0].tolist()


def has_begun(state: SearchState, trial: Trial) -> bool:
    """Whether the trial is clearly better than the simplest baseline. Also where no stop lies ahead."""
    return trial.setup.stop_examples >= state.stops[-1] or above_floor(state, trial)


def above_floor(state: SearchState, trial: Trial) -> bool:
    """Whether the trial is better than the simplest baseline by more than its reading errs, and by a share of what the best
    reading is: the first steps out of guessing are small, whatever follows."""
    if state.floor is None:
        return True
    (best,) = state.explored.best(1)
    enough = max(state.reading_error(trial.measured), state.config.begun_share * (best.measured.quality - state.floor))
    return trial.measured.quality > state.floor + enough


def reading_deviation(state: SearchState, trial: Trial) -> float:
    """Of a reading, beyond what is common to all that were read on the same examples."""
    own = surrogate_of(state).own_noise or 0.0
    return math.hypot(own, math.sqrt(state.config.own_sample_share) * state.reading_error(trial.measured))


def begin(state: SearchState, margin: float, available: float) -> Explore | None:
    """The next stop of a reference that has not begun to learn: until it has, its readings say nothing of its method. None
    where nothing could be better than what was read by more than the margin."""
    if any(t.measured.quality + margin >= state.limits[1] for t in state.measured("explore")):
        return None
    return train_on(state, [curve[-1] for curve in curves_of(state) if not has_begun(state, curve[-1])], available)


def train_on(state: SearchState, trials: Sequence[Trial], available: float) -> Explore | None:
    """The next stop of one of the trials, the cheapest, if that can be paid for."""
    able = filter(None, (promotion_of(state, trial) for trial in trials))
    cheapest = min(able, key=lambda candidate: candidate.needs[0], default=None)
    return cheapest.action if cheapest is not None and cheapest.needs[0] <= available else None


def longest_curve(state: SearchState, arm: str) -> Curve:
    """The trials, by length, of the arm's longest lineage, of several the best one, of those that have begun to learn; where
    none has, of the one whose dev loss is the lowest, since all qualities are alike. None before anything was measured."""
    own = [t for t in state.explored.best() if t.setup.arm == arm]
    begun = [t for t in own if above_floor(state, t)]
    if begun:
        longest = max(begun, key=lambda t: (t.setup.stop_examples, t.measured.quality))
    elif own:
        longest = min(own, key=lambda t: (t.measured.dev_loss, -t.setup.stop_examples))
    else:
        return ()
    lineage = [t for t in own if t.setup.lineage == longest.setup.lineage]
    return tuple(sorted(lineage, key=lambda t: t.setup.stop_examples))
