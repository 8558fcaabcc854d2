"""The statistics of the advice, against simulations in which the truth is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from peftcost.core.seed_noise import COMMON_SHARE, EXPECTED_FREEDOM, pooled_deviation, seed_noise
from peftcost.core.statistics import (
    Expectation,
    NonInferiority,
    Replicates,
    comparators,
    lower_bounds,
    prediction_interval,
    probability_within_margin,
    quality_interval,
    resample_qualities,
    resolvable_difference,
    shown_as_good,
    with_interval,
    with_seed_noise,
)
from peftcost.tasks.metrics import accuracy


def simulate(
    truth: dict[str, float], n: int, seeds: dict[str, int], random: np.random.Generator, seed_sd: float = 0.006
) -> dict[str, list[np.ndarray]]:
    """Rows of setups with these true accuracies: examples have a common difficulty, seeds a common offset."""
    difficulty = random.normal(size=n)
    rows: dict[str, list[np.ndarray]] = {}
    for name, quality in truth.items():
        rows[name] = []
        for _ in range(seeds[name]):
            level = quality + random.normal() * seed_sd
            score = 0.8 * difficulty + 0.6 * random.normal(size=n)
            right = score < np.sqrt(0.8**2 + 0.6**2) * _normal_quantile(level)
            rows[name].append(np.stack([right, np.ones(n)], axis=1).astype(np.float32))
    return rows


def _normal_quantile(p: float) -> float:
    from scipy.stats import norm

    return float(norm.ppf(p))


TRUTH = {"best": 0.760, "b": 0.757, "c": 0.748, "d": 0.744, "e": 0.735, "f": 0.70, "g": 0.65}


@pytest.mark.parametrize(("n", "confirm"), [(300, 3), (1000, 2), (3000, 3)])
def test_inferior_setups_are_rarely_called_as_good_as_the_best(n: int, confirm: int) -> None:
    """At most 5 % (and Monte Carlo error) of runs show any setup non-inferior that is truly worse by the margin."""
    margin, runs, wrong = 0.01, 120, 0
    for run in range(runs):
        random = np.random.default_rng(run)
        rows = simulate(TRUTH, n, dict.fromkeys(TRUTH, confirm), random)
        bounds = lower_bounds(resample_qualities(rows, accuracy, 400, run))
        wrong += any(bound > -margin and TRUTH[name] < TRUTH["best"] - margin for name, bound in bounds.items())
    assert wrong / runs <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / runs)


def test_enough_rows_and_seeds_do_show_it() -> None:
    truth = {"best": 0.760, "same": 0.760, "worse": 0.70}
    rows = simulate(truth, 20_000, dict.fromkeys(truth, 5), np.random.default_rng(0), seed_sd=0.001)
    bounds = lower_bounds(resample_qualities(rows, accuracy, 500, 0))
    assert bounds["same"] > -0.01
    assert bounds["best"] > -0.01
    assert bounds["worse"] < -0.05


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.floats(0.5, 0.95))
def test_one_more_setup_never_raises_the_bound_of_another(run: int, quality: float) -> None:
    random = np.random.default_rng(run)
    truth = {"a": 0.8, "b": 0.78, "c": 0.7}
    rows = simulate(truth, 200, dict.fromkeys(truth, 2), random)
    more = rows | simulate({"new": quality}, 200, {"new": 1}, random)
    before = lower_bounds(resample_qualities(rows, accuracy, 300, run))
    after = lower_bounds(resample_qualities(more, accuracy, 300, run))
    assert all(after[name] <= before[name] + 1e-9 for name in before)


def test_small_dev_sets_do_not_make_cheap_setups_look_good() -> None:
    truth = {"best": 0.76, "cheap": 0.74}
    shown = {}
    for n in (100, 5000):
        shown[n] = 0
        for run in range(40):
            rows = simulate(truth, n, dict.fromkeys(truth, 2), np.random.default_rng(run))
            shown[n] += lower_bounds(resample_qualities(rows, accuracy, 300, run))["cheap"] > -0.01
    assert shown[100] <= 2
    assert shown[5000] <= 2


def test_a_setup_alone_is_the_best() -> None:
    rows = simulate({"a": 0.8}, 100, {"a": 1}, np.random.default_rng(0))
    replicates = resample_qualities(rows, accuracy, 100, 0)
    assert lower_bounds(replicates) == {"a": 0.0}
    assert probability_within_margin(replicates, 0.01) == {"a": 1.0}


def test_the_same_seed_gives_the_same_draws_whoever_else_is_there() -> None:
    rows = simulate({"a": 0.8, "b": 0.7, "c": 0.6}, 300, {"a": 2, "b": 2, "c": 1}, np.random.default_rng(0))
    all_three = resample_qualities(rows, accuracy, 200, 5)
    two = resample_qualities({k: rows[k] for k in "ab"}, accuracy, 200, 5)
    assert np.array_equal(all_three.values["a"], two.values["a"])


def test_different_dev_sets_are_refused() -> None:
    rows = {"a": [np.ones((10, 2))], "b": [np.ones((9, 2))]}
    with pytest.raises(ValueError, match="same dev examples"):
        resample_qualities(rows, accuracy, 10, 0)


def test_the_resolvable_difference_shrinks_with_rows() -> None:
    found = []
    for n in (200, 5000):
        rows = simulate({"a": 0.8, "b": 0.8}, n, {"a": 3, "b": 3}, np.random.default_rng(1), seed_sd=0.001)
        found.append(resolvable_difference(resample_qualities(rows, accuracy, 400, 0), "b"))
    assert found[1] < found[0] / 2


def test_a_new_seed_falls_into_its_prediction_interval() -> None:
    """Nominal 95 %: three seeds measured, the fourth looked up; and the same on new data."""
    random, inside, inside_new, error = np.random.default_rng(0), 0, 0, float(np.sqrt(0.75 * 0.25 / 1000))
    for _ in range(400):
        level = 0.75 + random.normal(size=5) * 0.01
        dev_error = random.normal() * error
        low, high = prediction_interval(list(level[:3] + dev_error), 1000, error)
        inside += low <= level[3] + dev_error <= high
        low, high = prediction_interval(list(level[:3] + dev_error), 1000, error, new_data=True)
        inside_new += low <= level[4] + random.normal() * error <= high
    assert 0.92 <= inside / 400 <= 0.98
    assert inside_new / 400 >= 0.93


@pytest.mark.parametrize("new_data", [False, True])
@pytest.mark.parametrize("qualities", [[0.70, 0.72], [0.70]], ids=["two seeds", "one seed"])
def test_a_prediction_interval_has_the_units_of_the_metric(qualities: list[float], new_data: bool) -> None:
    """An error in euros is predicted as well as a share of hits."""
    low, high = prediction_interval(qualities, 500, 0.02, new_data=new_data)
    in_euros = [100 * quality - 5000 for quality in qualities]
    assert prediction_interval(in_euros, 500, 2.0, new_data=new_data) == pytest.approx((100 * low - 5000, 100 * high - 5000))
    assert high - low > 0.001


def test_told_intervals_stay_within_the_metrics_limits() -> None:
    rows = {"poor": [np.eye(1, 30).T, np.zeros((30, 1)), np.ones((30, 1))]}
    found = resample_qualities(rows, lambda r, w: w @ r[:, 0] / w.sum(axis=1), 200)
    assert quality_interval(replace(found, limits=(0.0, 1.0)), "poor")[0] == 0.0
    assert prediction_interval([0.95, 0.99], 20, 0.04, limits=(0.0, 1.0))[1] == 1.0
    assert prediction_interval([0.95, 0.99], 20, 0.04)[1] > 1.0


def test_copies_of_a_row_tell_no_more_than_the_row() -> None:
    rows = np.array([[1, 1]] * 80 + [[0, 1]] * 20)
    alone = with_interval(rows, accuracy, (0.0, 1.0))
    copied, copies = np.repeat(rows, 9, axis=0), np.repeat(np.arange(100), 9)
    assert with_interval(copied, accuracy, (0.0, 1.0), copies=copies) == pytest.approx(alone)
    blind = with_interval(copied, accuracy, (0.0, 1.0))
    assert blind[2] - blind[1] == pytest.approx((alone[2] - alone[1]) / 3, rel=0.15)


def test_the_pooled_spread_counts_the_seeds_of_all_setups() -> None:
    deviation, freedom = pooled_deviation([[0.70, 0.72], [0.60, 0.62, 0.64], [0.5]])
    assert freedom == 3
    narrow = prediction_interval([0.70, 0.72], 800, 0.016, pooled_sd=deviation, pooled_freedom=freedom)
    alone = prediction_interval([0.70, 0.72], 800, 0.016)
    assert narrow[1] - narrow[0] < alone[1] - alone[0]


def test_an_expected_noise_between_seeds_widens_what_one_seed_shows_and_gives_way_to_many() -> None:
    def width(seeds: int, expected: float | None) -> float:
        drawn = np.random.default_rng(0).normal(0.8, 0.01, seeds)
        resampled = {"a": np.repeat(drawn[:, None], 4000, axis=1)}
        found = with_seed_noise(resampled, {"a": dict(enumerate(drawn))}, 0, expected_deviation=expected)
        low, high = np.quantile(found.values["a"], [0.025, 0.975])
        return float(high - low)

    assert width(1, None) == 0.0
    both = 0.01 * np.sqrt(1 + COMMON_SHARE)
    assert width(1, 0.01) == pytest.approx(2 * stats.t.ppf(0.975, EXPECTED_FREEDOM) * both, rel=0.1)
    assert width(600, 0.1) == pytest.approx(width(600, None), rel=0.6)


def test_the_interval_of_what_has_not_settled_is_wider_and_comparisons_stay_as_they_are() -> None:
    drawn = {"best": np.full((1, 4000), 0.8), "poor": np.full((2, 4000), 0.6)}
    per_seed = {"best": {1: 0.8}, "poor": {1: 0.59, 2: 0.61}}
    settled = with_seed_noise(drawn, per_seed, 0, expected_deviation=0.01)
    unsettled = with_seed_noise(drawn, per_seed, 0, expected_deviation=0.01, unsettled=0.1)
    width = {name: np.ptp(quality_interval(found, "poor")) for name, found in (("is", settled), ("is not", unsettled))}
    deviation = settled.seed_deviation
    common = COMMON_SHARE * 0.01**2
    wider = np.sqrt(((deviation + 0.02) ** 2 + common) / (deviation**2 + common))
    assert width["is not"] / width["is"] == pytest.approx(wider, rel=0.2)
    assert quality_interval(unsettled, "best") == quality_interval(settled, "best")
    assert lower_bounds(unsettled) == lower_bounds(settled)


def test_what_a_seed_does_to_all_setups_is_told_apart_from_what_it_does_to_each() -> None:
    random = np.random.default_rng(0)
    common = random.normal(0, 0.02, 40)
    groups = [{k: 0.7 + common[k] + random.normal(0, 0.01) for k in range(40)} for _ in range(5)]
    found = seed_noise(groups)
    assert found.own**0.5 == pytest.approx(0.01, rel=0.15)
    assert found.common**0.5 == pytest.approx(0.02, rel=0.3)
    assert found.freedom == 4 * 39
    apart = seed_noise([{100 * place + k: q for k, q in group.items()} for place, group in enumerate(groups[:3])])
    assert apart.common == 0.0


def test_without_shared_seeds_all_noise_is_the_setups_own() -> None:
    found = seed_noise([{1: 0.70, 2: 0.72}, {3: 0.60, 4: 0.63}])
    assert found.own == pytest.approx((0.0002 + 0.00045) / 2)
    assert (found.common, found.freedom) == (0.0, 2)


def test_comparisons_are_paired_over_seeds() -> None:
    """A seed that is good for all tells how good they are less surely, and no less surely which is the better."""
    common = np.random.default_rng(0).normal(0, 0.03, 6)
    per_seed = {
        s: {k: q + common[k] + (0.001 if (k + place) % 2 else -0.001) for k in range(6)}
        for place, (s, q) in enumerate(QUALITIES)
    }
    drawn = {s: np.full((6, 4000), q) for s, q in QUALITIES}
    found = with_seed_noise(drawn, per_seed, 0)
    assert (found.values["a"] - found.values["b"]).std() < 0.002
    assert found.values["a"].std() > 0.005


QUALITIES = (("a", 0.80), ("b", 0.79))


def test_for_comparisons_a_lucky_reading_is_what_is_expected_of_it() -> None:
    random = np.random.default_rng(0)
    values = {"sure": 0.78 + random.normal(0, 0.005, 4000), "lucky": 0.80 + random.normal(0, 0.02, 4000)}
    told = Replicates({"sure": 0.78, "lucky": 0.80}, values, expectations={"lucky": Expectation(0.75, 0.01, 0.015)})
    compared = told.as_expected
    assert lower_bounds(told)["sure"] < -0.04
    assert lower_bounds(compared)["sure"] > -0.01
    assert compared.values["lucky"].std() == pytest.approx(0.01, rel=0.05)
    assert told.observed["lucky"] == 0.80


def test_an_interval_lies_about_what_is_expected_and_is_as_wide_as_that_is_uncertain() -> None:
    values = {"one": 0.80 + np.random.default_rng(0).normal(0, 0.02, 40000)}
    as_read = Replicates({"one": 0.80}, values)
    assert quality_interval(as_read, "one") == pytest.approx((0.80 - 1.96 * 0.02, 0.80 + 1.96 * 0.02), abs=0.001)
    surer = replace(as_read, expectations={"one": Expectation(0.77, 0.006, 0.008)})
    assert quality_interval(surer, "one") == pytest.approx((0.77 - 1.96 * 0.01, 0.77 + 1.96 * 0.01), abs=0.001)
    vaguer = replace(as_read, expectations={"one": Expectation(0.77, 0.03, 0.04)})
    assert np.diff(quality_interval(vaguer, "one")) == pytest.approx(np.diff(quality_interval(as_read, "one")))


def test_what_is_far_ahead_of_all_others_is_held_against_the_next_best_and_shown() -> None:
    draws = np.random.default_rng(0).normal(0, 0.01, size=(3, 2000))
    observed = {"ahead": 0.80, "next": 0.70, "last": 0.60}
    values = {name: quality + drawn for (name, quality), drawn in zip(observed.items(), draws, strict=True)}
    replicates = Replicates(observed, values)
    assert comparators(replicates, {"ahead": 2}) == ["ahead", "next"]
    assert shown_as_good(replicates, {"ahead": 2}, NonInferiority(0.01)) == ["ahead"]
