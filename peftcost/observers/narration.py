"""What happens in a search, in words for people."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from peftcost.core.setup import Setup
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
    return [f"{Setup.from_dict(event['setup']).id} started ({event['role']}, seed {event['seed']})"]


def _measured(event: Event, state: SearchState) -> list[str]:
    facts = event["measurement"]
    return [f"{_setup_id(event, state)} measured: quality {facts['quality']:.3f} at {facts['gpu_seconds']:.1f} gpu-s"]


def _failed(event: Event, state: SearchState) -> list[str]:
    return [f"{_setup_id(event, state)} failed: {event['reason']}"]


def _setup_id(event: Event, state: SearchState) -> str:
    return state.trials[event["trial"]].setup.id


TELLERS: dict[str, Callable[[Event, SearchState], list[str]]] = {
    "planned": _planned,
    "warned": lambda event, state: [f"warning: {event['text']}"],
    "skipped": lambda event, state: [f"{event['method']} skipped: {event['reason']}"],
    "started": _started,
    "measured": _measured,
    "failed": _failed,
    "closing": lambda event, state: [f"search ended: {event['because']}"],
}
