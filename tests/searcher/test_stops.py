"""How long a search trains."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hypothesis import given
from hypothesis import strategies as st

from peftcost.cost.model import CostModel, Probe
from peftcost.methods import methods
from peftcost.searcher.config import DEFAULT_CONFIG
from peftcost.searcher.planner import needs_of
from peftcost.searcher.stops import choose_stops, ladder, reaching_beyond


def needing(rates: Sequence[float], rows: int) -> Callable[[Sequence[int]], float]:
    """What stops take of methods with these gpu-seconds an example, of which the first three are references."""
    probes = {name: Probe(1.0, rate, 0.001, 1, 1, 1) for name, rate in zip(methods(), rates, strict=False)}
    return lambda stops: needs_of(stops, CostModel(probes, 1000, 0, rows), list(probes)[:3], DEFAULT_CONFIG)


@given(longest=st.integers(1, 100_000), least=st.integers(1, 2000))
def test_a_ladder_ends_at_the_longest_and_never_begins_below_the_least(longest: int, least: int) -> None:
    stops = ladder(longest, least, DEFAULT_CONFIG)
    assert stops[-1] == longest
    assert len(stops) <= DEFAULT_CONFIG.most_stops
    assert stops == sorted(set(stops))
    assert len(stops) == 1 or stops[0] >= least
    assert all(b // DEFAULT_CONFIG.stop_factor == a for a, b in zip(stops, stops[1:], strict=False))


@given(
    rows=st.integers(50, 50_000),
    rates=st.lists(st.floats(1e-4, 0.1), min_size=1, max_size=8),
    available=st.floats(10, 1e5),
)
def test_the_stops_that_are_chosen_can_be_paid_for(rows: int, rates: list[float], available: float) -> None:
    needs = needing(rates, rows)
    stops = choose_stops(rows, 16, lambda stops: needs(stops) <= available, DEFAULT_CONFIG)
    least = min(rows, DEFAULT_CONFIG.fewest_steps * 16)
    assert least <= stops[-1] <= max(least, round(DEFAULT_CONFIG.epochs[-1] * rows))
    assert stops == [least] or needs(stops) <= available


@given(rows=st.integers(1000, 50_000), available=st.floats(100, 1e4))
def test_more_budget_never_trains_shorter(rows: int, available: float) -> None:
    needs = needing((0.002, 0.01, 0.02, 0.02), rows)
    twice, once = (
        choose_stops(rows, 16, lambda stops, most=most: needs(stops) <= most, DEFAULT_CONFIG)
        for most in (2 * available, available)
    )
    assert twice[-1] >= once[-1]


def test_three_stops_lie_beyond_what_all_can_reach_but_not_beyond_six_epochs() -> None:
    def beyond(stops: list[int], rows: int) -> list[int]:
        return reaching_beyond(stops, rows, lambda stop: stop in stops, DEFAULT_CONFIG)

    assert beyond([300, 600], 1000) == [300, 600, 1200, 2400, 4800]
    assert beyond([1000, 2000], 1000) == [1000, 2000, 4000]
    assert beyond([1500, 3000], 500) == [1500, 3000]


def test_more_budget_leads_to_longer_stops() -> None:
    needs = needing([0.01], 1000)

    def lengthened(stops: list[int], available: float) -> list[int]:
        return reaching_beyond(stops, 1000, lambda stop: needs([stop]) <= available, DEFAULT_CONFIG)

    assert lengthened([100, 200, 400], 0.0) == [100, 200, 400], "three that cannot be paid for are enough"
    assert lengthened([100, 200, 400], 20.0) == [100, 200, 400, 800, 1600], "200, confirmed, can be paid for"
    assert lengthened([100, 200], 1e6) == [100, 200, 400, 800, 1600, 3200], "six epochs are the end"
