"""What more training rows would bring: right on curves that are known, and sure of itself no more than it can be."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peftcost.core.more_rows import EXPONENTS, gain_of_doubling

SIZES = (200, 400, 800)


def draws(qualities: list[float], deviation: float, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=(len(qualities), 4000))
    return np.array(qualities)[:, None] + deviation * noise


@given(st.floats(*EXPONENTS), st.floats(0.02, 0.3))
def test_a_power_law_is_continued(exponent: float, height: float) -> None:
    curve = [0.9 - height * (rows / SIZES[-1]) ** -exponent for rows in (*SIZES, 2 * SIZES[-1])]
    gain = gain_of_doubling(SIZES, draws(curve[:3], 1e-6))
    assert gain.min() - 1e-4 <= curve[3] - curve[2] <= gain.max() + 1e-4


def test_a_flat_curve_promises_nothing() -> None:
    gain = gain_of_doubling(SIZES, draws([0.8, 0.8, 0.8], 0.01))
    assert float(gain.mean()) == pytest.approx(0, abs=1e-3)
    low, high = np.quantile(gain, [0.025, 0.975])
    assert low < 0 < high


def test_the_truth_lies_in_the_interval_about_as_often_as_is_said() -> None:
    random, deviation, within = np.random.default_rng(1), 0.01, 0
    for trial in range(200):
        exponent, height = random.uniform(*EXPONENTS), random.uniform(0.05, 0.2)
        curve = np.array([0.9 - height * (rows / 800) ** -exponent for rows in (*SIZES, 1600)])
        read = curve[:3] + deviation * random.normal(size=3)
        low, high = np.quantile(gain_of_doubling(SIZES, draws(list(read), deviation, trial), trial), [0.025, 0.975])
        within += low <= curve[3] - curve[2] <= high
    assert within >= 180


def test_two_sizes_are_enough() -> None:
    gain = gain_of_doubling((400, 800), draws([0.7, 0.75], 1e-6))
    assert gain.min() > 0.02 and gain.max() < 0.05
