"""Stratified samples: proportions, rare labels, copies, and the same result everywhere."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peftcost.task.sampling import FEWEST_LEFT, hold_out, latest, quotas, sample, split_sizes, together

LABELLED = st.lists(st.tuples(st.sampled_from("abcde"), st.integers(0, 60)), min_size=1, max_size=80)


def held(rows: list[tuple[str, int]], n: int, seed: int = 0) -> list[int]:
    return hold_out([label for label, _ in rows], [text for _, text in rows], [[x] for x, _ in rows], n, (seed,))


@given(LABELLED, st.integers(0, 40), st.integers(0, 3))
@settings(max_examples=200, deadline=None)
def test_copies_stay_together_and_every_label_stays_in_train(rows: list[tuple[str, int]], n: int, seed: int) -> None:
    taken = held(rows, n, seed)
    assert taken == sorted(set(taken)) == held(rows, n, seed)
    assert len(taken) <= n
    rest = [row for i, row in enumerate(rows) if i not in taken]
    assert not {rows[i][1] for i in taken} & {text for _, text in rest}
    before, after = Counter(label for label, _ in rows), Counter(label for label, _ in rest)
    assert all(after[label] >= min(FEWEST_LEFT, count) for label, count in before.items())


def test_proportions_hold() -> None:
    rows = [("a" if i % 10 else "b", i) for i in range(1000)]
    counts = Counter(rows[i][0] for i in held(rows, 200))
    assert counts == {"a": 180, "b": 20}
    assert held(rows, 200, seed=1) != held(rows, 200, seed=2)


@pytest.mark.parametrize("copies", [40, 80])
def test_a_large_group_of_contradicting_copies_does_not_bend_the_proportions(copies: int) -> None:
    rows = [("a" if i == 0 else "b", 0) for i in range(copies)] + [("ab"[i % 2], i) for i in range(1, 1001)]
    counts = Counter(rows[i][0] for i in held(rows, 100))
    assert counts["a"] == pytest.approx(100 * 501 / len(rows), abs=2)


@given(st.dictionaries(st.text("abcdef", min_size=1), st.integers(1, 50), min_size=1), st.integers(0, 120), st.booleans())
def test_quotas_sum_to_n_and_never_exceed_a_stratum(counts: dict[str, int], n: int, at_least_one: bool) -> None:
    seats = quotas(counts, n, at_least_one)
    assert sum(seats.values()) == min(n, sum(counts.values()))
    assert all(0 <= seats[stratum] <= count for stratum, count in counts.items())
    if at_least_one and n >= len(counts):
        assert min(seats.values()) >= 1


def test_a_sample_keeps_rare_strata() -> None:
    strata = ["a"] * 500 + ["b"] * 2
    assert Counter(strata[i] for i in sample(strata, 10, (0,))) == {"a": 9, "b": 1}
    assert sample(strata, None, (0,)) == sample(strata, 10_000, (0,)) == list(range(502))


def test_the_dev_split_is_large_enough_for_the_margin_if_the_data_allow() -> None:
    assert split_sizes(40_000, 0.01, True, True) == (4000, 4000)
    assert split_sizes(10_000, 0.01, True, True) == (3000, 2000)  # half stays in train
    assert split_sizes(10_000, 0.05, True, True) == (2000, 2000)  # 20 % resolve more than 5 points
    assert split_sizes(1000, 0.05, True, True) == (240, 200)
    assert split_sizes(10_000, 0.01, True, False) == (4000, 0)
    assert split_sizes(10_000, 0.01, False, True) == (0, 2000)


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_hash_randomisation_changes_nothing(hash_seed: str) -> None:
    code = (
        "from peftcost.task.sampling import hold_out, sample\n"
        "s = [str(i % 7) for i in range(300)]\n"
        "print(hold_out(s, [str(i % 250) for i in range(300)], [[x, 'y'] for x in s], 60, (3,)), sample(s, 40, (3,)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": hash_seed}, capture_output=True, text=True
    )
    s = [str(i % 7) for i in range(300)]
    here = hold_out(s, [str(i % 250) for i in range(300)], [[x, "y"] for x in s], 60, (3,)), sample(s, 40, (3,))
    assert done.stdout.strip() == f"{here[0]} {here[1]}"


def test_shares_that_are_given_are_taken() -> None:
    assert split_sizes(1000, 0.01, True, True, 0.1, 0.25) == (100, 250)
    assert split_sizes(1000, 0.05, True, True, None, 0.3) == (200, 300)  # half stays in train
    assert split_sizes(1000, 0.01, True, False, 0.1, 0.25) == (100, 0)
    assert split_sizes(1000, 0.01, True, True, 120, 80) == (120, 80), "from 1 on they are rows"
    assert split_sizes(1000, 0.01, True, True, None, 0) == (200, 0), "a gate: a fifth at most"
    assert split_sizes(10_000, 0.05, True, True, None, 0) == (240, 0), "and no more than resolve the margin"


def test_what_shares_any_key_goes_together() -> None:
    groups = together(["a", "b", "c", "d", "e"], [1, 2, 2, 3, 1])
    assert groups[1] == groups[2] and groups[0] == groups[4]
    assert len(set(groups)) == 3
    assert len(set(together(["a", "b", "a", "c"], [1, 2, 2, 4]))) == 2  # by way of the third


def test_the_latest_are_cut_between_times() -> None:
    assert latest([3, 1, 2, 5, 4], 2) == [3, 4]
    assert latest([1, 2, 2, 2, 3], 2) == [4]
    assert latest([1, 1, 1], 1) == []
