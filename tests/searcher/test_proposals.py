"""What Optuna proposes for a method."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

from peftcost.core.setup import Setup
from peftcost.methods import get_method
from peftcost.searcher.proposals import Proposals
from peftcost.searcher.state import SearchState

SPACES = {name: get_method(name).space() for name in ("lora", "full")}


def state_with(setups: list[tuple[Setup, float | None]]) -> SearchState:
    """Measured setups with their dev losses; None for one that failed."""
    state = SearchState()
    state.apply({"event": "acquired", "t": 0.0, "device": 0, "category": "startup"})
    probe: dict[str, Any] = dict.fromkeys(
        ("startup_seconds", "seconds_per_example", "evaluation_seconds_per_example", "peak_bytes"), 1
    ) | {"trainable_parameters": 1, "total_parameters": 1}
    planned = {"methods": ["lora", "full"], "infeasible": {}, "stops": [100], "dev_sample": None}
    rows = {"train_rows": 100, "dev_rows": 100, "test_rows": 100}
    state.apply({"event": "planned", "t": 0.0, "probes": {"lora": probe, "full": probe}, **planned, **rows})
    predicted = {"gpu_seconds": 1.0, "peak_bytes": 1, "trial_seconds": 1.0}
    for number, (setup, loss) in enumerate(setups):
        facts = {"seed": 0, "role": "explore", "device": 0, "parent": None, "predicted": predicted}
        state.apply({"event": "started", "t": 1.0, "trial": number, "setup": setup.as_dict(), **facts})
        if loss is None:
            state.apply({"event": "failed", "t": 2.0, "trial": number, "reason": "no"})
            continue
        names = ("train_loss", "startup_seconds", "process_peak_bytes", "latency_seconds", "artifact_bytes")
        measured = dict.fromkeys((*names, "trainable_parameters", "total_parameters"), 1)
        measured |= {"seed": 0, "role": "explore", "quality": 0.5, "dev_loss": loss, "gpu_seconds": 5.0, "peak_bytes": 10}
        state.apply({"event": "measured", "t": 2.0, "trial": number, "measurement": measured})
    return state


def lora(rate: float, rank: int = 8) -> Setup:
    return Setup.of("lora", {**get_method("lora").prior(), "learning_rate": rate, "rank": rank}, 100)


def proposals(seed: int) -> Proposals:
    starts = {name: [Setup.of(name, get_method(name).prior(), 100)] for name in SPACES}
    return Proposals(SPACES, starts, seed)


def test_suggestions_lie_in_the_methods_space_and_a_resumed_search_does_not_begin_again() -> None:
    state = state_with([(lora(1e-3), 0.9)])
    first = proposals(3).suggest(state, "lora", 100)
    assert first == proposals(3).suggest(state, "lora", 100)
    assert len(first) > 1
    for setup in first:
        assert all(d._contains(d.to_internal_repr(setup.hyperparameters[name])) for name, d in SPACES["lora"].items())
    again = state_with([(lora(1e-3), 0.9), (first[0], 0.8)])
    assert proposals(3).suggest(again, "lora", 100) != first


def test_what_was_tried_is_not_proposed() -> None:
    setups = [(setup, 0.9) for setup in proposals(3).suggest(state_with([]), "lora", 100)]
    again = proposals(3).suggest(state_with(setups), "lora", 100)  # type: ignore[arg-type]
    assert not {setup.id for setup in again} & {setup.id for setup, _ in setups}


def test_suggestions_cover_the_space_evenly() -> None:
    points = proposals(3).points("lora", 64)
    rates = sorted(math.log(float(point["learning_rate"] or 0)) for point in points)
    steps = [later - earlier for earlier, later in pairwise(rates)]
    assert max(steps) < 0.15 * (rates[-1] - rates[0])
    assert {point["rank"] for point in points} == set(SPACES["lora"]["rank"].choices)


def test_failed_setups_do_not_stop_suggestions() -> None:
    state = state_with([(lora(1e-3), None), (lora(2e-3), 0.7)])
    assert proposals(0).suggest(state, "lora", 100)


def test_a_choice_that_was_tried_at_two_lengths_is_proposed_at_neither() -> None:
    """A method with a fixed horizon begins at any stop."""
    prior = proposals(3).starts["lora"][0]
    state = state_with([(prior, 0.9), (prior.until(200), 0.8)])
    for stop in (100, 200):
        assert prior.until(stop) not in proposals(3).suggest(state, "lora", stop)
    assert prior.until(300) in proposals(3).suggest(state, "lora", 300)
