"""The books: what was spent, and what may still be."""

from __future__ import annotations

from typing import Any

import pytest

from peftcost.runner.books import Books
from peftcost.searcher.state import SearchState

EVENTS: list[dict[str, Any]] = [
    {"event": "budget", "t": 0.0, "limit_gpu_seconds": 100.0, "wall_seconds": None},
    {"event": "acquired", "t": 1.0, "device": 0, "category": "startup"},
    {"event": "acquired", "t": 1.0, "device": 1, "category": "startup"},
    {"event": "phase", "t": 3.0, "device": 0, "category": "train"},
    {"event": "released", "t": 5.0, "device": 1},
    {"event": "something new", "t": 6.0},
]


@pytest.mark.parametrize("kind", [Books, SearchState])
def test_the_books_are_a_fold_over_the_journal(kind: type[Books]) -> None:
    books = kind()
    books.apply_all(EVENTS)
    assert books.held == {0}
    assert books.last_t == 6.0
    assert books.ledger.spent(now=7.0) == 6.0 + 4.0
    totals = books.ledger.totals(now=7.0)
    assert (totals["startup"], totals["train"]) == (2.0 + 4.0, 4.0)
    assert books.left_after(10.0, now=7.0) == 100.0 - 10.0 - 10.0


def test_a_limit_on_the_clock_counts_from_when_it_is_set() -> None:
    books = Books()
    books.apply_all([*EVENTS, {"event": "released", "t": 8.0, "device": 0}])
    books.apply({"event": "budget", "t": 9.0, "limit_gpu_seconds": 1000.0, "wall_seconds": 5.0})
    assert books.limit_wall_seconds == 7.0 + 5.0
    books.apply({"event": "acquired", "t": 10.0, "device": 0, "category": "startup"})
    assert books.left_after(0.0, now=12.0) == 3.0


def test_books_without_a_budget_have_no_limit() -> None:
    books = Books()
    books.apply_all(EVENTS[1:])
    assert books.left_after(0.0, now=1e9) == float("inf")
