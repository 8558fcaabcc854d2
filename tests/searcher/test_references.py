"""Whether a reference may still overtake what would be recommended."""

from __future__ import annotations

import pytest
from search_events import ACQUIRED, MEASUREMENT, PLANNED, SETUP, measured, started

from peftcost.core.setup import Setup
from peftcost.methods import get_method
from peftcost.searcher.actions import Promote
from peftcost.searcher.references import begin, longest_curve, rising_at
from peftcost.searcher.state import SearchState


@pytest.mark.parametrize(("quality", "rises"), [(0.75, True), (0.985, True), (0.995, False), (1.0, False)])
def test_nothing_rises_beyond_the_metrics_end(quality: float, rises: bool) -> None:
    """After one reading anything may still come, but not more than a margin above what is nearly perfect."""
    state = SearchState()
    reading = {"measurement": MEASUREMENT | {"quality": quality, "quality_error": 0.001}}
    state.apply_all([PLANNED | {"references": ["lora"]}, ACQUIRED, started(0), measured(0) | reading])
    assert bool(rising_at(state, SETUP, 0.01)) == rises


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


def test_what_has_not_begun_goes_on_if_that_can_be_paid() -> None:
    assert begin(of_two_lineages((0.5, 0.5)), 0.01, 1000.0) == Promote(0, SETUP.until(600))
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
    assert begin(state, 0.01, 1000.0) == Promote(0, SETUP.until(600))
