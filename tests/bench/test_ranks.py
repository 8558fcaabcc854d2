"""Mean ranks, Friedman's test and the critical difference."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from peftcost.bench.diagram import diagram_of
from peftcost.bench.ranks import critical_difference, groups_of, ranks_of

# Demsar 2006, table 6: C4.5 and three variants on 14 data sets (AUC).
DEMSAR = {
    "C4.5": [0.763, 0.599, 0.954, 0.628, 0.882, 0.936, 0.661, 0.583, 0.775, 1.000, 0.940, 0.619, 0.972, 0.957],
    "C4.5+m": [0.768, 0.591, 0.971, 0.661, 0.888, 0.931, 0.668, 0.583, 0.838, 1.000, 0.962, 0.666, 0.981, 0.978],
    "C4.5+cf": [0.771, 0.590, 0.968, 0.654, 0.886, 0.916, 0.609, 0.563, 0.866, 1.000, 0.965, 0.614, 0.9751, 0.946],
    "C4.5+m+cf": [0.798, 0.569, 0.967, 0.657, 0.898, 0.931, 0.685, 0.625, 0.875, 1.000, 0.962, 0.669, 0.975, 0.970],
}


def test_the_published_example_comes_out() -> None:
    found = ranks_of(DEMSAR)
    assert found is not None and found.tasks == 14
    assert {name: round(rank, 3) for name, rank in found.means.items()} == {
        "C4.5+m+cf": 1.964,
        "C4.5+m": 2.0,
        "C4.5+cf": 2.893,
        "C4.5": 3.143,
    }
    assert found.critical_difference == pytest.approx(1.25, abs=0.005)
    assert found.p == pytest.approx(stats.friedmanchisquare(*DEMSAR.values()).pvalue) and found.p < 0.05


@pytest.mark.parametrize(("contenders", "q"), [(2, 1.960), (5, 2.728), (10, 3.164)])
def test_the_critical_values_are_those_of_the_table(contenders: int, q: float) -> None:
    expected = q * np.sqrt(contenders * (contenders + 1) / (6 * 10))
    assert critical_difference(contenders, 10) == pytest.approx(expected, rel=1e-3)


def test_groups_are_the_longest_and_none_lies_in_another() -> None:
    means = {"a": 1.0, "b": 1.5, "c": 2.4, "d": 4.0}
    assert groups_of(means, 1.0) == [["a", "b"], ["b", "c"]]
    assert groups_of(means, 5.0) == [["a", "b", "c", "d"]]
    assert groups_of(means, 0.1) == []


@pytest.mark.parametrize("qualities", [{"a": [1, 2], "b": [2, 1]}, {"a": [1], "b": [2], "c": [3]}])
def test_of_too_few_nobody_tells_ranks(qualities: dict[str, list[float]]) -> None:
    assert ranks_of(qualities) is None


def test_contenders_that_are_the_same_everywhere_share_a_rank() -> None:
    found = ranks_of({name: [0.5, 0.6, 0.7] for name in "abc"})
    assert found is not None and set(found.means.values()) == {2.0} and found.p == 1.0


def test_the_diagram_has_the_better_half_on_the_left_and_a_bar_over_each_group() -> None:
    means = {"a": 1.0, "b": 1.5, "c": 2.4, "d": 4.0}
    found = diagram_of(means, [["a", "b"], ["b", "c"]], 1.0)
    assert [named.key for named in found.names if named.on_left] == ["a", "b"]
    places = {named.key: named.at for named in found.names}
    assert places["a"] < places["b"] < places["c"] < places["d"]
    assert [(x1 < places["a"] < places["b"] < x2) for x1, x2, _ in found.bars[:1]] == [True]
    assert max(named.y for named in found.names) < found.height
