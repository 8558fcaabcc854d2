"""What quality a setup is predicted to have."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from peftcost.core.setup import Setup
from peftcost.methods import get_method
from peftcost.searcher.config import DEFAULT_CONFIG
from peftcost.searcher.surrogate import Observation, Surrogate

RATES = np.geomspace(1e-4, 8e-3, 12)


def lora(rate: float, stop: int = 100) -> Setup:
    return Setup.of("lora", {**get_method("lora").prior(), "learning_rate": float(rate)}, stop)


def full(stop: int = 100) -> Setup:
    return Setup.of("full", get_method("full").prior(), stop)


def truth_of(rate: float) -> float:
    """Best at 1e-3, worse by 4 points for each factor of four."""
    return 0.75 - 0.04 * abs(np.log(rate / 1e-3) / np.log(4))


def error_of(rows: int) -> float:
    """About the standard error of a share of hits among so many."""
    return 0.45 / rows**0.5


def lineages(rows: int, seed: int = 0) -> list[Observation]:
    """What a sample of dev shows of each rate at the first stop."""
    random = np.random.default_rng(seed)
    return [Observation(lora(r), random.binomial(rows, truth_of(r)) / rows, error_of(rows)) for r in RATES]


def later(observations: Observation, gain: float) -> Observation:
    return Observation(replace(observations.setup, stop_examples=200), observations.quality + gain, observations.error)


def seen(observations: list[Observation], longest: int, unit: float = 1.0) -> Surrogate:
    return Surrogate(observations, longest, DEFAULT_CONFIG, unit)


def test_neighbours_tell_qualities_apart_that_a_small_sample_cannot() -> None:
    better = 0
    for seed in range(20):
        observations = lineages(200, seed)
        means, _ = seen(observations, 100).predict([s.setup for s in observations])
        drawn = sum((mean - truth_of(r)) ** 2 for mean, r in zip(means, RATES, strict=True))
        plain = sum((s.quality - truth_of(r)) ** 2 for s, r in zip(observations, RATES, strict=True))
        better += drawn < plain
    assert better >= 17


def test_what_training_on_brought_others_of_the_method_is_expected_of_the_rest() -> None:
    observations = lineages(10_000)
    further = [later(s, 0.1) for s in observations[:6]]
    rest, other = [observations[7].setup, replace(observations[7].setup, stop_examples=200)], [full(), full(200)]
    before, after = seen(observations, 100), seen([*observations, *further], 100)

    def gain(surrogate: Surrogate, pair: list[Setup]) -> float:
        now, then = surrogate.predict(pair)[0]
        return float(then - now)

    assert gain(before, rest) == pytest.approx(DEFAULT_CONFIG.expected_gain, abs=1e-6)
    assert gain(after, rest) > 0.08
    assert gain(before, other) < gain(after, other) < gain(after, rest), "another method is a hint, not more"


def test_a_setup_like_many_seen_is_expected_to_be_like_them() -> None:
    observations = lineages(10_000)
    means, deviations = seen(observations, 100).predict([lora(1.1e-3), full()])
    assert means[0] == pytest.approx(truth_of(1.1e-3), abs=0.015)
    assert deviations[0] < 0.02 < deviations[1]


def test_what_poor_setups_scatter_is_not_taken_for_how_far_the_best_err() -> None:
    """Trainings that have not taken off land anywhere; good ones of neighbouring rates are alike."""
    random = np.random.default_rng(0)

    def scattered(rate: float, quality: float, deviation: float) -> list[Observation]:
        return [
            Observation(lora(rate * (1 + i / 50)), quality + random.normal(0, deviation), error_of(5000)) for i in range(6)
        ]

    found = seen([*scattered(1e-3, 0.8, 0.005), *scattered(1e-4, 0.5, 0.06)], 200).own_noise
    assert found is not None and found < 0.012


def test_farther_ahead_is_less_certain() -> None:
    surrogate = seen(lineages(500), 100)
    _, deviations = surrogate.predict([lora(RATES[0], stop) for stop in (100, 200, 400)])
    assert list(deviations) == sorted(deviations)


def test_nothing_seen_is_no_error() -> None:
    _, (deviation,) = seen([], 100).predict([full(400)])
    assert deviation > 0.1


def test_a_metric_of_another_range_is_predicted_alike() -> None:
    """Negative errors in dollars, say: the same readings times a thousand, less an offset."""
    shares = lineages(500)
    dollars = [Observation(o.setup, 1000 * o.quality - 5000, 1000 * o.error) for o in shares]
    wanted = [lora(2e-3, 200), full(200)]
    means, deviations = seen(shares, 200).predict(wanted)
    in_dollars = seen(dollars, 200, unit=1000.0).predict(wanted)
    assert in_dollars[0] == pytest.approx(1000 * means - 5000)
    assert in_dollars[1] == pytest.approx(1000 * deviations)
