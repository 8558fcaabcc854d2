"""What stands against a recommendation, and what would find out."""

from __future__ import annotations

from typing import Any

import pytest
from search_events import ACQUIRED, MEASUREMENT, PLANNED, SETUP, measured, started

from peftcost.core.setup import Setup
from peftcost.cost.model import Probe
from peftcost.methods import get_method
from peftcost.recommend.caveats import budget_for, caveats_of, listed, overtaken
from peftcost.recommend.policies import Caveat
from peftcost.searcher.state import SearchState

FROZEN = Setup.of("frozen", get_method("frozen").prior(), 300)


def searched(*trials: tuple[Setup, dict[str, Any]], **facts: Any) -> SearchState:
    """A search that has measured these, a seed each."""
    state, arms = SearchState(), dict.fromkeys(("lora", "frozen"), PLANNED["probes"]["lora"])
    planned = PLANNED | {
        "probes": arms,
        "methods": ["lora", "frozen"],
        "references": ["bitfit"],
        "floor": 0.3,
        "dev_rows": 1000,
    }
    state.apply_all([planned | facts, ACQUIRED])
    for number, (setup, reading) in enumerate(trials):
        found = MEASUREMENT | {"quality_error": 0.01, "seed": number} | reading
        role = {"role": found["role"]}
        state.apply_all([started(number, setup, seed=number) | role, measured(number) | {"measurement": found}])
    return state


def against(state: SearchState, setup: Setup, *rivals: Setup) -> list[Caveat]:
    return list(caveats_of(state, setup.id, [rival.id for rival in rivals], 0.01, {}))


CONFIRMED, BUSY = {"role": "confirm"}, {"contended": True}


def test_a_reference_that_rises_is_told_with_what_its_next_stop_takes() -> None:
    curve = ((SETUP, {"quality": 0.6}), (SETUP.until(600), {"quality": 0.68}))
    (told,) = against(searched(*curve, (FROZEN, {"quality": 0.7}), references=["lora"]), FROZEN)
    assert told.text == "lora (0.600, 0.680 after 0.5, 1 epochs) was still rising"
    assert told.gpu_seconds and not told.remedy


def test_what_cannot_be_recommended_stands_against_nothing() -> None:
    curve = ((SETUP, {"quality": 0.6}), (SETUP.until(600), {"quality": 0.68}))
    state = searched(
        *curve,
        (FROZEN, {"quality": 0.7}),
        references=["lora"],
        methods=["lora", "frozen", "full"],
        probes=dict.fromkeys(("lora", "frozen", "full"), PLANNED["probes"]["lora"]),
    )
    everything = caveats_of(state, FROZEN.id, [], 0.01, {})
    assert [caveat.text.split()[0] for caveat in everything] == ["full", "lora"]
    assert not caveats_of(state, FROZEN.id, [], 0.01, {}, able=lambda setup: setup.method == "frozen")


def test_one_reading_is_no_rise() -> None:
    (told,) = against(searched((SETUP, {"quality": 0.6}), (FROZEN, {"quality": 0.7}), references=["lora"]), FROZEN)
    assert told.text == "lora (0.600 after 0.5 epochs) was measured at one length only"


def test_no_budget_is_named_for_a_reference_at_the_longest_stop_that_there_may_be() -> None:
    stops = [300 * 2**n for n in range(5)]
    curve = [(SETUP.until(stop), {"quality": 0.52 + 0.055 * n}) for n, stop in enumerate(stops)]
    state = searched(*curve, (FROZEN, {"quality": 0.7}), references=["lora"], stops=stops, train_rows=800)
    (told,) = against(state, FROZEN)
    assert told.gpu_seconds is None
    assert told.remedy == "No budget of this run tells where lora would end: it trains nothing beyond 6 epochs."
    state = searched(*curve[:-1], (FROZEN, {"quality": 0.7}), references=["lora"], stops=stops[:-1], train_rows=800)
    assert against(state, FROZEN)[0].gpu_seconds, "a larger budget has one more stop"


def test_a_method_that_one_base_was_tried_with_is_named_with_the_other() -> None:
    arms = ["lora on a", "lora on b", "frozen on b"]
    of_a = Setup.of("lora", {**get_method("lora").prior(), "model": "a"}, 300)
    state = searched((of_a, {}), methods=arms, probes=dict.fromkeys(arms, PLANNED["probes"]["lora"]))
    (told,) = against(state, of_a)
    assert told.text == "lora on b and frozen were not measured"


def test_times_of_a_busy_machine_are_taken_again_until_the_setup_was_confirmed() -> None:
    explored = (SETUP, BUSY), (FROZEN, {})
    (told,) = against(searched(*explored), SETUP)
    assert told.text == "the recommended setup's times were measured while other programs used the processor"
    assert told.gpu_seconds
    (told,) = against(searched(*explored, *2 * [(SETUP, BUSY | CONFIRMED)]), SETUP)
    assert told.gpu_seconds is None and "not busy" in told.remedy
    assert not against(searched(*explored, (SETUP, BUSY | CONFIRMED), (SETUP, CONFIRMED)), SETUP)


@pytest.mark.parametrize(("seconds_per_example", "may_be_cheaper"), [(0.004, True), (0.1, False)])
def test_a_rival_that_was_timed_on_a_busy_machine_may_be_the_cheaper_one(
    seconds_per_example: float, may_be_cheaper: bool
) -> None:
    """It reads 16 s beside 3 s, and would take 1.2 s by what was probed."""
    probes = {"lora": Probe(1.0, 0.01, 0.001, 1, 1, 1), "frozen": Probe(1.0, seconds_per_example, 0.001, 1, 1, 1)}
    trials = (SETUP, {"gpu_seconds": 3.0}), (FROZEN, BUSY | {"gpu_seconds": 16.0})
    state = searched(*trials, probes={name: probe.as_dict() for name, probe in probes.items()})
    told = against(state, SETUP, SETUP, FROZEN)
    assert [caveat.text.startswith("the times of frozen head only") for caveat in told] == [True] * may_be_cheaper
    assert not against(state, SETUP), "where it is no rival"


def test_a_budget_pays_for_the_test_and_leaves_the_shares_that_are_kept_back() -> None:
    state = searched((SETUP, {}), (FROZEN, {}), test_rows=1000)
    closing, config = state.closing_seconds(), state.config
    assert closing > 1
    for gpu_seconds, seeds in ((5.0, {}), (5.0, {SETUP.id: 2, FROZEN.id: 1}), (100.0, {SETUP.id: 1})):
        budget = budget_for(state, gpu_seconds, seeds)
        again = sum(n * state.cost.predict(state.setup(s)).trial_seconds for s, n in seeds.items())
        kept = max(again, config.most_reserved * budget / config.safety) + config.parts_share * budget / config.safety
        assert budget >= config.safety * (gpu_seconds + closing)
        assert config.most_reserved * budget >= config.safety * again
        assert budget / config.safety >= 0.99 * (gpu_seconds + closing + kept)


def test_what_the_same_budget_again_likely_overtakes_is_told_with_that_budget() -> None:
    state = searched((SETUP, {}), (FROZEN, {}), test_rows=1000)
    state.apply({"event": "budget", "t": state.last_t, "limit_gpu_seconds": 500.0, "wall_seconds": None})
    assert overtaken(state, 0.01) is None
    state.apply({"event": "foreseen", "t": state.last_t, "better_chance": 0.43})
    told = overtaken(state, 0.01)
    assert told is not None and told.gpu_seconds is not None
    assert told.text == "twice the budget would find something better by more than 0.01 with a chance of 43 %"
    assert budget_for(state, told.gpu_seconds, {SETUP.id: 1}) == pytest.approx(500.0)
    state.apply({"event": "foreseen", "t": state.last_t, "better_chance": 0.996})
    likely = overtaken(state, 0.01)
    assert likely is not None and likely.text.endswith("with a chance of > 99 %"), "never all when it is not"


def test_more_budget_alone_takes_back_no_doubt() -> None:
    """A run that goes on may be cut off before it has foreseen anew."""
    state = searched((SETUP, {}), (FROZEN, {}))
    state.apply({"event": "foreseen", "t": state.last_t, "better_chance": 0.43})
    state.apply({"event": "budget", "t": state.last_t, "limit_gpu_seconds": 500.0, "wall_seconds": None})
    assert overtaken(state, 0.01) is not None
    state.apply({"event": "foreseen", "t": state.last_t, "better_chance": 0.02})
    assert overtaken(state, 0.01) is None


def test_names_are_listed() -> None:
    assert listed(["a"]) == "a" and listed(["a", "b", "c"]) == "a, b and c"
