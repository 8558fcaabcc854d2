"""What happens in a search, in words for people."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from peftcost.core.budget import format_seconds
from peftcost.core.setup import Setup
from peftcost.core.setup_words import setup_words
from peftcost.report.numbers import plural
from peftcost.searcher.state import SearchState

Event = Mapping[str, Any]


def lines_of(event: Event, state: SearchState) -> list[str]:
    """What there is to say of an event, one line each. state: has taken the event in."""
    teller = TELLERS.get(event["event"])
    return [] if teller is None else teller(event, state)


def _planned(event: Event, state: SearchState) -> list[str]:
    stops = ", ".join(str(stop) for stop in state.stops)
    unable = [f"{name} cannot run: {reason}" for name, reason in state.infeasible.items()]
    return [f"planned: {len(state.arms)} methods, stops at {stops} examples", *unable]


def _started(event: Event, state: SearchState) -> list[str]:
    setup = Setup.from_dict(event["setup"])
    return [f"started {words_of(setup)}, seed {event['seed']} ({event['role']}) [{setup.id}]"]


def _measured(event: Event, state: SearchState) -> list[str]:
    facts, setup = event["measurement"], _setup(event, state)
    return [f"measured {words_of(setup)}: quality {facts['quality']:.3f} at {facts['gpu_seconds']:.1f} gpu-s [{setup.id}]"]


def _failed(event: Event, state: SearchState) -> list[str]:
    setup = _setup(event, state)
    return [f"failed {words_of(setup)}: {event['reason']} [{setup.id}]"]


def _continued(event: Event, state: SearchState) -> list[str]:
    """What the sessions before have done, in one sentence."""
    measured, failed = state.measured(), sum(trial.status == "failed" for trial in state.trials.values())
    setups = plural(len({trial.setup.id for trial in measured}), "setup")
    spent = f"{format_seconds(state.ledger.spent())} of {format_seconds(state.limit_gpu_seconds)} spent"
    done = f"going on with a run: {plural(len(measured), 'training')} of {setups} measured, {failed} failed, {spent}"
    best = max(measured, key=lambda t: t.measurement.quality if t.measurement else -math.inf, default=None)
    if best is None or best.measurement is None:
        return [done]
    return [f"{done}; the best reading is {best.measurement.quality:.3f} of {words_of(best.setup)}"]


def words_of(setup: Setup) -> str:
    """A setup's choices in few words."""
    return setup_words(setup.method, setup.hyperparameters, setup.stop_examples)


def _setup(event: Event, state: SearchState) -> Setup:
    return state.trials[event["trial"]].setup


TELLERS: dict[str, Callable[[Event, SearchState], list[str]]] = {
    "continued": _continued,
    "planned": _planned,
    "warned": lambda event, state: [f"warning: {event['text']}"],
    "skipped": lambda event, state: [f"{event['method']} skipped: {event['reason']}"],
    "started": _started,
    "measured": _measured,
    "failed": _failed,
    "closing": lambda event, state: [f"search ended: {event['because']}"],
}
