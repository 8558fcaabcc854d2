"""What is kept back to train the recommended setup on parts of the rows: never much, and enough."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from search_events import ACQUIRED, PLANNED, SETUP

from peftcost.searcher.parts import part_seconds, parts_of, parts_reserve, setup_on
from peftcost.searcher.state import SearchState


def state_of(train_rows: int) -> SearchState:
    state = SearchState()
    state.apply_all([PLANNED | {"train_rows": train_rows}, ACQUIRED])
    return state


@given(st.integers(1, 5000), st.floats(1, 1e5))
def test_the_reserve_is_a_small_share_or_nothing(train_rows: int, budget: float) -> None:
    state = state_of(train_rows)
    reserve = parts_reserve(state, SETUP, budget)
    assert 0 <= reserve <= state.config.parts_share * budget
    needs = sum(part_seconds(state, SETUP, rows) for rows in parts_of(state))
    assert reserve in (0.0, needs)


def test_each_part_is_seen_as_often_as_the_whole() -> None:
    state = state_of(600)
    assert parts_of(state) == [150, 300] and parts_of(state_of(60)) == []
    assert [setup_on(SETUP, rows, 600).stop_examples for rows in (150, 300)] == [75, 150]
    quarter, half = (part_seconds(state, SETUP, rows) for rows in (150, 300))
    assert quarter < half < state.config.safety * state.cost.predict(SETUP).trial_seconds
