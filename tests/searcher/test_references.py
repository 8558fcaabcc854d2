"""Whether a reference may still overtake what would be recommended."""

from __future__ import annotations

import math

import numpy as np
import pytest
from search_events import ACQUIRED, MEASUREMENT, PLANNED, SETUP, measured, started

from peftcost.core.setup import Setup
from peftcost.core.statistics import NonInferiority, Replicates
from peftcost.methods import get_method
from peftcost.searcher.actions import Action, Explore
from peftcost.searcher.decide import Moment, next_action
from peftcost.searcher.references import begin, chance_of, has_begun, longest_curve, rising_at
from peftcost.searcher.state import SearchState


@pytest.mark.parametrize(("quality", "rises"), [(0.75, True), (0.985, True), (0.995, False), (1.0, False)])
def test_nothing_rises_beyond_the_metrics_end(quality: float, rises: bool) -> None:
    """After one reading anything may still come, but not more than a margin above what is nearly perfect."""
    state = SearchState()
    reading = {"measurement": MEASUREMENT | {"quality": quality, "quality_error": 0.001}}
    state.apply_all([PLANNED | {"references": ["lora"]}, ACQUIRED, started(0), measured(0) | reading])
    assert bool(rising_at(state, SETUP, 0.01, {})) == rises


FAST = Setup.of("lora", {**get_method("lora").prior(), "learning_rate": 5e-3}, 300)


def of_two_lineages(qualities: tuple[float, float]) -> SearchState:
    """The usual LoRA at its first stop, and a faster one, trained twice as long, that lost its way. Guessing reads .5."""
    state = SearchState()
    state.apply_all([PLANNED | {"references": ["lora"], "floor": 0.5, "stops": [300, 600, 1200]}, ACQUIRED])
    for number, (setup, quality, loss) in enumerate(
        ((SETUP, qualities[0], 0.6), (FAST, qualities[1], 0.9), (FAST.until(600), qualities[1], 1.8))
    ):
        reading = MEASUREMENT | {"quality": quality, "dev_loss": loss, "quality_error": 0.01}
        state.apply_all([started(number, setup), measured(number) | {"measurement": reading}])
    return state


def test_of_lineages_that_have_not_begun_the_one_of_the_lowest_loss_is_followed() -> None:
    (trial,) = longest_curve(of_two_lineages((0.5, 0.5)), "lora")
    assert trial.setup.lineage == SETUP.lineage


def test_what_has_begun_is_followed_though_another_was_trained_longer() -> None:
    (trial,) = longest_curve(of_two_lineages((0.7, 0.5)), "lora")
    assert trial.setup.lineage == SETUP.lineage
    assert [t.setup.stop_examples for t in longest_curve(of_two_lineages((0.7, 0.65)), "lora")] == [300, 600]


def test_a_reading_without_a_quality_is_no_curve() -> None:
    state, reading = SearchState(), {"measurement": MEASUREMENT | {"quality": math.nan}}
    state.apply_all([PLANNED | {"references": ["lora"], "floor": 0.5}, ACQUIRED, started(0), measured(0) | reading])
    assert longest_curve(state, "lora") == ()
    assert begin(state, 0.01, 1000.0) is None


def test_what_has_not_begun_goes_on_if_that_can_be_paid() -> None:
    assert begin(of_two_lineages((0.5, 0.5)), 0.01, 1000.0) == Explore(SETUP.until(600), 0)
    assert begin(of_two_lineages((0.5, 0.5)), 0.01, 0.01) is None
    assert begin(of_two_lineages((0.7, 0.5)), 0.01, 1000.0) is None
    assert begin(of_two_lineages((0.5, 0.5)), 0.5, 1000.0) is None, "nothing is better than 1"


def test_a_reference_goes_on_however_many_lineages_are_better() -> None:
    state, probe, nothing = SearchState(), PLANNED["probes"]["lora"], {"measurement": MEASUREMENT | {"quality": 0.5}}
    both = {"probes": {"lora": probe, "bitfit": probe}, "methods": ["lora", "bitfit"]}
    state.apply_all([PLANNED | both | {"references": ["lora"], "floor": 0.5}, ACQUIRED, started(0), measured(0) | nothing])
    for number in range(1, state.config.most_lineages + 1):
        better = Setup.of("bitfit", {**get_method("bitfit").prior(), "learning_rate": 1e-5 * number}, 300)
        state.apply_all([started(number, better), measured(number)])
    assert begin(state, 0.01, 1000.0) == Explore(SETUP.until(600), 0)


def with_cheaper(*, confirmed: bool, curve: tuple[float, float], stop: int = 1200) -> tuple[SearchState, Setup]:
    """A LoRA that reads these after 300 and 600 examples, and a frozen base that reads .70 after `stop`."""
    state = SearchState()
    probes = dict.fromkeys(("lora", "frozen"), PLANNED["probes"]["lora"])
    facts = {"methods": ["lora", "frozen"], "references": ["lora"], "floor": 0.3, "stops": [300, 600, 1200], "dev_rows": 1000}
    state.apply_all([PLANNED | facts | {"probes": probes}, ACQUIRED])
    frozen = Setup.of("frozen", get_method("frozen").prior(), stop)
    found = [(SETUP, curve[0], "explore"), (SETUP.until(600), curve[1], "explore"), (frozen, 0.70, "explore")]
    found += [(frozen, 0.70, "confirm")] * 2 * confirmed
    for number, (setup, quality, role) in enumerate(found):
        reading = MEASUREMENT | {"quality": quality, "quality_error": 0.01, "role": role, "seed": number}
        state.apply_all([started(number, setup, seed=number) | {"role": role}, measured(number) | {"measurement": reading}])
    return state, frozen


def test_less_speaks_against_a_confirmation_where_a_reference_was_trained_for_less() -> None:
    for confirmed in (False, True):
        state, frozen = with_cheaper(confirmed=confirmed, curve=(0.665, 0.675))
        (curve,) = [longest_curve(state, "lora")]
        assert state.config.shorter_rising_chance < chance_of(state, curve, frozen, 0.01, {}) < state.config.rising_chance
        assert bool(rising_at(state, frozen, 0.01, {})) == confirmed
    state, frozen = with_cheaper(confirmed=True, curve=(0.665, 0.675), stop=600)
    assert not rising_at(state, frozen, 0.01, {}), "trained for as long"


def test_a_reference_is_held_against_what_fresh_seeds_say() -> None:
    """What was the best of many readings reads less when it is trained again: less is needed to overtake that."""
    state, frozen = with_cheaper(confirmed=True, curve=(0.64, 0.65))
    curve = longest_curve(state, "lora")
    level = {curve[-1].setup.id: 0.65}
    lucky, fresh = (chance_of(state, curve, frozen, 0.01, {**level, frozen.id: q}) for q in (0.70, 0.66))
    assert lucky < state.config.shorter_rising_chance < fresh
    assert [bool(rising_at(state, frozen, 0.01, {**level, frozen.id: q})) for q in (0.70, 0.66)] == [False, True]


def test_what_was_told_as_rising_goes_first_where_a_budget_is_added_to() -> None:
    state, frozen = with_cheaper(confirmed=True, curve=(0.66, 0.68))
    qualities = {SETUP.id: 0.66, SETUP.until(600).id: 0.68, frozen.id: 0.70}
    noise = 0.01 * np.random.default_rng(0).normal(size=200)
    replicates = Replicates(qualities, {name: quality + noise for name, quality in qualities.items()})
    starts = {"lora": [SETUP], "frozen": [frozen]}

    def decided() -> Action:
        return next_action(Moment(state, starts, lambda arm, stop: [FAST], replicates, NonInferiority(0.01), state.last_t))

    released = {"event": "released", "t": state.last_t, "device": 0}
    state.apply_all([released, {"event": "budget", "t": state.last_t, "limit_gpu_seconds": 500.0}])
    assert decided() == Explore(SETUP.until(1200), 1)
    state.spent_before_gpu_seconds = 0.0
    assert decided() == Explore(FAST), "else what promises most for its cost"


def test_the_first_small_step_out_of_guessing_is_no_curve() -> None:
    state, frozen = with_cheaper(confirmed=False, curve=(0.30, 0.33))
    assert not has_begun(state, longest_curve(state, "lora")[-1])
    assert rising_at(state, frozen, 0.01, {})
    assert begin(state, 0.01, 1000.0) == Explore(SETUP.until(1200), 1)
