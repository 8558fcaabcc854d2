"""Parts of the training rows, on which the recommended setup is trained at the end to see what more rows bring. Pure."""

from __future__ import annotations

from dataclasses import replace

from peftcost.core.setup import Setup
from peftcost.searcher.state import SearchState


def parts_of(state: SearchState) -> list[int]:
    """A quarter and a half of the training rows; none where a quarter is too few to learn from."""
    rows, config = state.cost.train_rows, state.config
    return [rows // 4, rows // 2] if rows // 4 >= config.fewest_part_rows else []


def setup_on(setup: Setup, part_rows: int, train_rows: int) -> Setup:
    """The setup for as many epochs of a part of the rows."""
    return setup.until(max(1, round(setup.stop_examples * part_rows / train_rows)))


def part_seconds(state: SearchState, setup: Setup, part_rows: int) -> float:
    """gpu-seconds of one such training. What others have computed of frozen layers does not serve it."""
    alone = replace(state.cost, kept={})
    return state.config.safety * alone.predict(setup_on(setup, part_rows, alone.train_rows)).trial_seconds


def parts_reserve(state: SearchState, setup: Setup, budget: float) -> float:
    """What is kept back for all of them; nothing where that is more than `parts_share` of the budget."""
    needs = sum(part_seconds(state, setup, rows) for rows in parts_of(state))
    return needs if needs <= state.config.parts_share * budget else 0.0
