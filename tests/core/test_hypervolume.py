"""Hypervolume and expected gain, against Monte Carlo and against each other."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peftcost.core.hypervolume import Volume, hypervolume

REFERENCE = (0.3, 100.0, 1e9)
point = st.tuples(st.floats(0.0, 1.0), st.floats(1.0, 120.0), st.floats(1e7, 1.2e9))
points = st.lists(point, max_size=7)


def test_one_point_is_a_box() -> None:
    assert hypervolume([(0.8, 10.0, 1e8)], REFERENCE) == pytest.approx(0.5 * np.log(10) * np.log(10))
    assert hypervolume([], REFERENCE) == 0.0


@given(points)
def test_it_is_the_share_of_random_places_that_are_dominated(found: list[tuple[float, float, float]]) -> None:
    random = np.random.default_rng(0)
    low, high = np.array([0.3, 0.0, np.log(1e7)]), np.array([1.0, np.log(100.0), np.log(1e9)])
    places = random.uniform(low, high, (4000, 3))
    dominated = np.zeros(len(places), dtype=bool)
    for quality, cost, memory in found:
        dominated |= (quality >= places[:, 0]) & (np.log(cost) <= places[:, 1]) & (np.log(memory) <= places[:, 2])
    box = float(np.prod(high - low))
    assert hypervolume(found, REFERENCE) == pytest.approx(dominated.mean() * box, abs=0.04 * box)


@given(points, point)
def test_a_certain_point_gains_what_it_adds(found: list[tuple[float, float, float]], one: tuple[float, float, float]) -> None:
    added = hypervolume([*found, one], REFERENCE) - hypervolume(found, REFERENCE)
    assert Volume(found, REFERENCE).expected_gains([one], [0.0])[0] == pytest.approx(added, abs=1e-9)


@given(points, point, st.floats(0.001, 0.2))
def test_an_uncertain_point_gains_the_mean_of_what_it_may_add(
    found: list[tuple[float, float, float]], one: tuple[float, float, float], deviation: float
) -> None:
    quality, cost, memory = one
    draws = quality + deviation * np.random.default_rng(1).normal(size=400)
    before = hypervolume(found, REFERENCE)
    added = [hypervolume([*found, (float(q), cost, memory)], REFERENCE) - before for q in draws]
    scale = np.log(100.0) * np.log(100.0) * deviation
    (expected,) = Volume(found, REFERENCE).expected_gains([one], [deviation])
    assert expected == pytest.approx(np.mean(added), abs=0.2 * scale + 1e-9)
