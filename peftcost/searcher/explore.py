"""What to explore next: whatever is expected to add most to the front for what it costs. Pure.

A lineage that was begun may go on to its next stop, and each method may be given one more setup, one that Optuna proposes.
All are valued by the same measure: the expected gain in hypervolume (peftcost.core.hypervolume) at the best of the stops
ahead, over the root of what getting there takes. Half of it is the volume of the whole front, half that of its top alone, a
few margins deep: a cheap corner of the front is wide, but the recommendation is made at the top. What it leads to is bought
one stop at a time, so that a disappointment costs no more than a stop.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice

import numpy as np

from peftcost.core.front import Point
from peftcost.core.hypervolume import Volume
from peftcost.core.measurement import reading_error
from peftcost.core.setup import Setup, method_of
from peftcost.methods import get_method
from peftcost.searcher.actions import Explore
from peftcost.searcher.config import SearchConfig
from peftcost.searcher.state import SearchState
from peftcost.searcher.surrogate import Observation, Surrogate
from peftcost.searcher.trial import Trial

Suggest = Callable[[str, int], Sequence[Setup]]
"""(arm, stop) -> setups that nobody tried: starting points, and what Optuna proposes."""
StartingPoints = Mapping[str, Sequence[Setup]]
"""By arm: its prior-best setup, those of recipes, as long as they say, then the best ones of earlier runs, the best first."""


@dataclass(frozen=True)
class Candidate:
    """What could be explored next: an action, and the setups that it leads to, nearest first.

    needs: gpu-seconds from where it is up to each of these. gain_rate: expected gain per gpu-second, at the best stop ahead,
    as a share of what there is.
    """

    action: Explore
    ahead: Sequence[Setup]
    needs: Sequence[float]
    gain_rate: float = 0.0

    @classmethod
    def of(cls, state: SearchState, ahead: Sequence[Setup], trial: Trial | None = None) -> Candidate:
        """One that is not valued yet. trial: whose lineage goes on, from its checkpoint if there is one."""
        number, parent = (trial.number, trial.setup) if trial is not None and trial.has_checkpoint else (None, None)
        needs = [state.config.safety * state.cost.predict(s, parent, state.dev_sample).trial_seconds for s in ahead]
        return cls(Explore(ahead[0], number), ahead, needs)


def candidates(state: SearchState, starts: StartingPoints, suggest: Suggest, margin: float) -> list[Candidate]:
    """All that could be explored next, the most promising first."""
    surrogate = surrogate_of(state)
    volumes = volumes_of(state, starts, margin, surrogate)
    found = reachable(state, suggest)
    ahead = [setup for candidate in found for setup in candidate.ahead]
    means, deviations = surrogate.predict(ahead)
    points = predicted_points(state, ahead, means)
    shares = np.mean([volume.expected_gains(points, deviations) / volume.total for volume in volumes], axis=0)
    gains, exponent = iter(shares.tolist()), state.config.cost_exponent
    valued = []
    for candidate in found:
        of_stops = [(next(gains), seconds) for seconds in candidate.needs]
        worth, rate = max((gain / seconds**exponent, gain / seconds) for gain, seconds in of_stops)
        valued.append((worth, replace(candidate, gain_rate=rate)))
    return [candidate for _, candidate in sorted(valued, key=lambda pair: -pair[0])]


def reachable(state: SearchState, suggest: Suggest) -> list[Candidate]:
    """All that could be explored next, not valued yet."""
    return [*promotions(state), *proposals(state, suggest)]


def promotions(state: SearchState) -> list[Candidate]:
    """The measured lineages that can go on; at each stop the best."""
    found: list[Candidate] = []
    for stop in state.stops:
        able = filter(None, (promotion_of(state, trial) for trial in state.explored.at(stop)))
        found += islice(able, state.config.most_lineages)
    return found


def promotion_of(state: SearchState, trial: Trial) -> Candidate | None:
    """What the trial's lineage can go on to; None where it has gone on already, cannot, or has nothing measured to go on."""
    if not state.explored.is_waiting(trial) or get_method(trial.setup.method).fixed_horizon:
        return None
    ahead = [trial.setup.until(stop) for stop in state.stops if stop > trial.setup.stop_examples]
    return Candidate.of(state, ahead, trial) if ahead else None


def proposals(state: SearchState, suggest: Suggest) -> list[Candidate]:
    """New setups of the arms that can be paid. A method that needs its length beforehand is begun at any stop and has no
    way on; the others begin at the first."""
    found = []
    for arm in state.arms:
        if arm in state.skipped:
            continue
        alone = get_method(method_of(arm)).fixed_horizon
        for begins in state.stops if alone else state.stops[:1]:
            for setup in suggest(arm, begins):
                found.append(Candidate.of(state, [setup.until(stop) for stop in ([begins] if alone else state.stops)]))
    return found


def surrogate_of(state: SearchState) -> Surrogate:
    """Predicts from what exploring has measured."""
    unit, dev_rows = state.unit, state.cost.dev_rows
    observations = tuple(
        Observation(trial.setup, trial.measured.quality, reading_error(trial.measured, dev_rows, unit))
        for trial in state.explored.best(state.config.most_readings)
    )
    return _surrogate(observations, state.stops[-1], state.config, unit)


@lru_cache(maxsize=4)
def _surrogate(observations: tuple[Observation, ...], longest: int, config: SearchConfig, unit: float) -> Surrogate:
    """What a decision and the evidence before it ask alike is worked out once."""
    return Surrogate(observations, longest, config, unit)


def volumes_of(state: SearchState, starts: StartingPoints, margin: float, surrogate: Surrogate) -> list[Volume]:
    """What the measured setups are thought to offer, with what the running ones are expected to add: in all, and at the
    top."""
    running = [t for t in state.trials.values() if t.role == "explore" and t.status in ("running", "interrupted")]
    setups = [*worth_a_look(state), *(t.setup for t in running)]
    points = predicted_points(state, setups, surrogate.predict(setups)[0])
    priors = [of_arm[0] for of_arm in starts.values()]
    dearest = [state.cost.predict(s.until(state.stops[-1])) for s in (*priors, *setups)]
    beyond, top = state.config.reference_factor, state.config.top_margins * margin
    cost, memory = beyond * max(p.gpu_seconds for p in dearest), beyond * max(p.peak_bytes for p in dearest)
    best = max(quality for quality, _, _ in points)
    worst = min(min(quality for quality, _, _ in points), best - top)
    return [Volume(points, (floor, cost, memory)) for floor in (worst, best - top)]


def worth_a_look(state: SearchState) -> list[Setup]:
    """The best setups of exploring, and those on the front of what it has read."""
    trials = [*state.explored.best(state.config.most_readings), *state.explored.front]
    return [trial.setup for trial in {trial.number: trial for trial in trials}.values()]


def predicted_points(state: SearchState, setups: Sequence[Setup], qualities: np.ndarray) -> list[Point]:
    """What the setups offer if they have these qualities."""
    predicted = [state.cost.predict(setup) for setup in setups]
    return [(q, p.gpu_seconds, float(p.peak_bytes)) for q, p in zip(qualities.tolist(), predicted, strict=True)]
