"""Whether a reference may still overtake what would be recommended."""

from __future__ import annotations

import pytest
from search_events import ACQUIRED, MEASUREMENT, PLANNED, SETUP, measured, started

from peftcost.searcher.references import rising_at
from peftcost.searcher.state import SearchState


@pytest.mark.parametrize(("quality", "rises"), [(0.75, True), (0.985, True), (0.995, False), (1.0, False)])
def test_nothing_rises_beyond_the_metrics_end(quality: float, rises: bool) -> None:
    """After one reading anything may still come, but not more than a margin above what is nearly perfect."""
    state = SearchState()
    reading = {"measurement": MEASUREMENT | {"quality": quality, "quality_error": 0.001}}
    state.apply_all([PLANNED | {"references": ["lora"]}, ACQUIRED, started(0), measured(0) | reading])
    assert bool(rising_at(state, SETUP, 0.01)) == rises
