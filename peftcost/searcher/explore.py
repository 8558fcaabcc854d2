"""What to explore next: whatever is expected to add most to the front per gpu-second. Pure.

A lineage that was begun may go on to its next stop, and each method may be given one more setup. Both are valued by the
same measure: the expected gain in hypervolume (peftcost.core.hypervolume) at the best of the stops ahead, over what getting
there takes. What it leads to is bought one stop at a time, so that a disappointment costs no more than a stop.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from peftcost.core.front import Point
from peftcost.core.hypervolume import expected_gain, hypervolume
from peftcost.core.setup import Setup
from peftcost.methods import get_method
from peftcost.searcher.actions import Promote, Propose
from peftcost.searcher.outlook import Guess, Outlook, Seen
from peftcost.searcher.state import SearchState, Trial
from peftcost.searcher.stops import SAFETY

NEGLIGIBLE = 0.005
"""Exploring is over when what is left to spend on it would add less than this share of the front's volume."""
MOST_REPEATED = 5
"""A method whose proposals had been tried before this often has nothing new to offer."""
BEYOND = 1.1
"""The reference point lies this factor beyond the dearest setup."""


@dataclass(frozen=True)
class Candidate:
    """needs_gpu_seconds: of the action itself. gain_rate: expected volume per gpu-second, at the best stop ahead."""

    action: Promote | Propose
    setup: Setup
    needs_gpu_seconds: float
    gain_rate: float


def outlook_of(state: SearchState) -> Outlook:
    """Guesses from what exploring has measured."""
    seen = [
        Seen(t.setup.method, t.setup.lineage, t.setup.stop_examples, m.quality, m.dev_loss, m.dev_rows or state.cost.dev_rows)
        for t in state.measured("explore")
        if (m := t.measurement) is not None
    ]
    return Outlook(seen, state.stops)


def reference_of(state: SearchState, prior: Mapping[str, Setup]) -> Point:
    """The worst quality seen, and a cost and a memory beyond those at the last stop of every method's prior-best setup and
    of all that was measured."""
    setups = [*prior.values(), *(t.setup for t in measured(state))]
    predicted = [state.cost.predict(replace(setup, stop_examples=state.stops[-1])) for setup in setups]
    worst = min((t.measurement.quality for t in state.measured("explore") if t.measurement is not None), default=0.0)
    return worst, BEYOND * max(p.gpu_seconds for p in predicted), BEYOND * max(p.peak_bytes for p in predicted)


def candidates(state: SearchState, prior: Mapping[str, Setup]) -> tuple[list[Candidate], float]:
    """All that could be explored next, the most promising first, and the volume of what is there."""
    outlook, reference = outlook_of(state), reference_of(state, prior)
    latest = latest_of_lineages(state)
    points = [point_of(state, t.setup, outlook.now(t.setup.lineage, t.setup.stop_examples).mean) for t in measured(state)]
    points += [point_of(state, t.setup, expected(outlook, t).mean) for t in running(state)]

    def valued(action: Promote | Propose, setup: Setup, parent: Setup | None, guesses: Mapping[int, Guess]) -> Candidate:
        rates = []
        for stop, guess in guesses.items():
            ahead = replace(setup, stop_examples=stop)
            needs = SAFETY * state.cost.predict(ahead, parent, state.dev_sample).trial_seconds
            rates.append(expected_gain(points, reference, point_of(state, ahead, guess.mean), guess.deviation) / needs)
        needs = SAFETY * state.cost.predict(setup, parent, state.dev_sample).trial_seconds
        return Candidate(action, setup, needs, max(rates))

    found = []
    for trial in latest:
        since = trial.setup.stop_examples
        later = [stop for stop in state.stops if stop > since]
        if trial.status != "measured" or not later or get_method(trial.setup.method).fixed_horizon:
            continue
        guesses = {stop: outlook.later(trial.setup.lineage, since, stop) for stop in later}
        setup = replace(trial.setup, stop_examples=later[0])
        parent = trial.setup if trial.has_checkpoint else None
        found.append(valued(Promote(trial.number, later[0]), setup, parent, guesses))
    for method in state.methods:
        if method in state.skipped or state.repeated[method] >= MOST_REPEATED:
            continue
        for stop in starts(method, state.stops):
            ahead = [stop] if get_method(method).fixed_horizon else state.stops
            reached = {at: outlook.new(method, at, begins=stop) for at in ahead}
            found.append(valued(Propose(method, stop), replace(prior[method], stop_examples=stop), None, reached))
    return sorted(found, key=lambda c: -c.gain_rate), hypervolume(points, reference)


def starts(method: str, stops: list[int]) -> list[int]:
    """Where a new setup of the method is measured first: a method that needs its length beforehand has no way on."""
    return list(stops) if get_method(method).fixed_horizon else [stops[0]]


def measured(state: SearchState) -> list[Trial]:
    return state.measured("explore")


def running(state: SearchState) -> list[Trial]:
    return [t for t in state.trials.values() if t.role == "explore" and t.status in ("running", "interrupted")]


def latest_of_lineages(state: SearchState) -> list[Trial]:
    """Per lineage the exploring trial with the farthest stop; a failed one ends its lineage."""
    found: dict[str, Trial] = {}
    for trial in state.trials.values():
        if trial.role == "explore":
            known = found.get(trial.setup.lineage)
            if known is None or trial.setup.stop_examples > known.setup.stop_examples:
                found[trial.setup.lineage] = trial
    return list(found.values())


def expected(outlook: Outlook, trial: Trial) -> Guess:
    """Of a trial that is still running."""
    before = [stop for stop in outlook.stops if stop < trial.setup.stop_examples]
    for stop in reversed(before):
        try:
            return outlook.later(trial.setup.lineage, stop, trial.setup.stop_examples)
        except KeyError:
            continue
    return outlook.new(trial.setup.method, trial.setup.stop_examples)


def point_of(state: SearchState, setup: Setup, quality: float) -> Point:
    predicted = state.cost.predict(setup)
    return quality, predicted.gpu_seconds, float(predicted.peak_bytes)
