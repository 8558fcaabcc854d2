"""What more budget would bring."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from synthetic_table import synthetic_table

from peftcost.recommend.advise import twice_the_budget
from peftcost.recommend.caveats import overtaken
from peftcost.recommend.policies import Caveat
from peftcost.searcher.explore import Suggest, surrogate_of
from peftcost.searcher.forecast import BudgetForecast, chance_of_better, forecast, within
from peftcost.simulator.search import Outcome, TableProposals, prior_of, simulate

TABLE = synthetic_table()


@pytest.fixture(scope="module")
def found() -> Outcome:
    return simulate(TABLE, 0.1 * TABLE.total_gpu_seconds, 0)


def suggest_for(found: Outcome) -> Suggest:
    starts = {name: [prior_of(TABLE, name)] for name in found.state.arms}
    return partial(TableProposals(TABLE, starts, 0).suggest, found.state)


def of(found: Outcome, share: float, margin: float = 0.01) -> BudgetForecast:
    assert found.recommendation is not None
    recommended = found.state.setups()[found.recommendation.id]
    return forecast(found.state, suggest_for(found), margin, recommended, share * TABLE.total_gpu_seconds)


def test_without_ground_nothing_is_said_of_twice_the_budget(found: Outcome) -> None:
    assert found.recommendation is not None
    settled = replace(found.recommendation, caveats=())
    told = twice_the_budget(found.state, settled, suggest_for(found), 0.01)
    assert told is not None and told.chance > 0
    open_question = replace(settled, caveats=(Caveat("bitfit was not measured", 60.0),))
    assert twice_the_budget(found.state, open_question, suggest_for(found), 0.01) is None
    likely = replace(found.state, better_chance=0.9)
    only_overtaken = replace(settled, caveats=(overtaken(likely, 0.01),))
    assert twice_the_budget(likely, only_overtaken, suggest_for(found), 0.01) == told, "that doubt is the forecast's own"
    at_its_end = replace(found.state, stops=found.state.stops[:1])
    assert twice_the_budget(at_its_end, settled, lambda arm, stop: [], 0.01) is None


def test_more_money_is_never_thought_to_bring_less(found: Outcome) -> None:
    chances = [of(found, share).chance for share in (0.001, 0.05, 0.2, 1.0)]
    assert chances == sorted(chances)
    assert chances[0] == 0.0
    assert chances[-1] > 0.2, "a tenth of the table's cost leaves much to be found"


def test_something_better_is_less_likely_with_a_wider_margin(found: Outcome) -> None:
    budget = 0.1 * TABLE.total_gpu_seconds
    chances = [chance_of_better(found.state, suggest_for(found), margin, budget) for margin in (0.0, 0.02, 0.1)]
    assert chances == sorted(chances, reverse=True) and chances[0] > 0.2
    assert found.state.better_chance == pytest.approx(
        chance_of_better(found.state, suggest_for(found), TABLE.metric.default_margin, budget), abs=0.05
    ), "a search writes it down when it ends"


def test_what_cannot_be_paid_is_not_proposed(found: Outcome) -> None:
    assert of(found, 0.0).action is None
    assert of(found, 1.0).action is not None


def test_it_changes_for_the_better_or_not_at_all(found: Outcome) -> None:
    """Better by more than the margin, or cheaper at no more than a margin's loss."""
    more = of(found, 1.0)
    assert more.quality_gain > -0.01
    assert more.quality_gain > 0 or more.cost_share < 1


def test_towards_the_end_of_the_metric_there_is_less_to_win() -> None:
    drawn = np.random.default_rng(0).normal([0.3, 0.5, 0.8, 0.95], 0.02, (4000, 4))
    found = within(drawn, (0.0, 1.0))
    assert found.max() <= 1.0
    high, low = ((np.quantile(found, q, axis=0) - np.median(found, axis=0)) / 0.02 for q in (0.975, 0.025))
    assert high == pytest.approx([1.96, 1.96, 1.57, 0.85], abs=0.15), "at .95, 2 (.95 x .05)^(1/2) = .44 of it"
    assert low == pytest.approx([-1.96] * 4, abs=0.15), "a poor choice is as poor anywhere"
    free = within(drawn, (-np.inf, np.inf))
    assert np.allclose(free, drawn) and within(drawn, (-np.inf, 0.0)).max() == 0.0


def test_draws_have_the_means_and_deviations_of_the_guesses(found: Outcome) -> None:
    setups = list(found.state.setups().values())
    surrogate = surrogate_of(found.state)
    drawn, (means, deviations) = surrogate.sample(setups, 20_000), surrogate.predict(setups)
    assert drawn.mean(axis=0) == pytest.approx(means, abs=0.003)
    assert drawn.std(axis=0) == pytest.approx(deviations, rel=0.05)
    assert np.array_equal(drawn, surrogate.sample(setups, 20_000))
