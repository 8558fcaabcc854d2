"""The ledger: whatever happens, the categories sum to the time that devices were held."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peftcost.core.ledger import CATEGORIES, Ledger

STEP = st.tuples(
    st.integers(0, 2),
    st.floats(-1, 10),
    st.sampled_from(["hold", "switch", "rebook", "release"]),
    st.sampled_from(sorted(CATEGORIES)),
)


@given(st.lists(STEP, max_size=60))
def test_categories_sum_to_the_time_held(steps: list[tuple[int, float, str, str]]) -> None:
    ledger, now, held, expected = Ledger(), 0.0, {}, 0.0
    for device, advance, what, category in steps:
        now += max(0.0, advance)
        if what == "hold" and device not in held:
            ledger.acquire(device, now, category)
            held[device] = now
        elif what == "switch" and device in held:
            ledger.switch(device, now - 0.5 if advance < 0 else now, category)
        elif what == "rebook":
            ledger.rebook(device, now - 5, now, "lost")
        elif what == "release" and device in held:
            ledger.release(device, now)
            expected += now - held.pop(device)
    expected += sum(now - since for since in held.values())
    assert ledger.spent(now) == pytest.approx(expected, abs=1e-6)
    assert all(seconds >= 0 for seconds in ledger.totals(now).values())


def test_lost_work_moves_and_nothing_else_does() -> None:
    ledger = Ledger()
    ledger.acquire(0, 0, "startup")
    ledger.switch(0, 10, "train")
    ledger.switch(0, 50, "evaluate")
    ledger.rebook(0, 30, 60, "lost")
    ledger.switch(0, 60, "idle")
    ledger.release(0, 65)
    totals = ledger.totals()
    assert {k: v for k, v in totals.items() if v} == {"startup": 10, "train": 20, "lost": 30, "idle": 5}


def test_misuse_is_told() -> None:
    ledger = Ledger()
    with pytest.raises(ValueError, match="not held"):
        ledger.switch(0, 1, "train")
    ledger.acquire(0, 0)
    with pytest.raises(ValueError, match="held already"):
        ledger.acquire(0, 1)


def test_time_on_the_clock_counts_devices_once() -> None:
    ledger = Ledger()
    ledger.acquire(0, 10.0)
    ledger.acquire(1, 12.0)
    ledger.release(0, 15.0)
    assert ledger.wall_seconds(20.0) == 10.0
    ledger.release(1, 20.0)
    ledger.acquire(0, 100.0)
    ledger.release(0, 101.0)
    assert (ledger.wall_seconds(), ledger.spent()) == (11.0, 14.0)
