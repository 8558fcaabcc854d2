"""The front, against the definition."""

import math

from hypothesis import given
from hypothesis import strategies as st

from peftcost.core.front import dominates, front

POINT = st.tuples(st.integers(0, 4), st.integers(1, 4), st.integers(1, 4)).map(lambda p: tuple(map(float, p)))


@given(st.dictionaries(st.text("abcdef", min_size=1, max_size=3), POINT, max_size=12))
def test_on_the_front_is_who_nobody_dominates(points: dict[str, tuple[float, float, float]]) -> None:
    found = front(points)
    assert set(found) == {n for n, p in points.items() if not any(dominates(q, p) for q in points.values())}
    assert [points[n][1] for n in found] == sorted(points[n][1] for n in found)
    for name, point in points.items():
        assert name in found or any(dominates(points[other], point) for other in found)


def test_nan_is_never_on_the_front() -> None:
    assert front({"a": (math.nan, 1.0, 1.0), "b": (0.5, 2.0, 2.0)}) == ["b"]
