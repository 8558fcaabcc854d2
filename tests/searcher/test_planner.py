"""What a search plans with before it begins."""

from __future__ import annotations

import pytest
from search_events import ACQUIRED, PLANNED

from peftcost.core.setup import Setup
from peftcost.methods import get_method
from peftcost.searcher import planner
from peftcost.searcher.state import SearchState


def test_the_least_search_has_enough_steps_of_the_batch_that_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    state = SearchState()
    state.apply_all([PLANNED | {"references": ["lora"], "train_rows": 10_000}, ACQUIRED])

    def least(batch_size: int) -> float:
        def priors(arms: list[str], stop: int) -> dict[str, Setup]:
            return {arm: Setup.of(arm, {**get_method(arm).prior(), "batch_size": batch_size}, stop) for arm in arms}

        monkeypatch.setattr(planner, "priors", priors)
        return planner.sizes(state)["least"]

    more_examples = state.config.fewest_steps * (64 - 16)
    assert least(64) - least(16) == pytest.approx(state.config.safety * 0.01 * more_examples)
