"""Metrics of classes and their probabilities, as scikit-learn has them, also of a resample; and their options."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import (
    average_precision_score,
    f1_score,
    matthews_corrcoef,
    precision_recall_curve,
    roc_auc_score,
)

from peftcost.errors import UserError
from peftcost.tasks import get_task_type
from peftcost.tasks.class_metrics import class_metric
from peftcost.tasks.metrics import f1, mcc
from peftcost.tasks.named_metric import metric_of, with_targets
from peftcost.tasks.one_class import scored
from peftcost.tasks.score_metrics import pr_auc, recall_at_precision, roc_auc
from peftcost.tasks.targets import Classes

KIND = get_task_type("text-classification")
SPAM = Classes(("ham", "spam"))


def case(seed: int, n: int, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """rows, weights of shape (1, n), and the true classes and probabilities of the resample. Probabilities have ties."""
    random = np.random.default_rng(seed)
    probabilities = random.integers(1, 6, (n, k)).astype(np.float64)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    rows = scored(probabilities.argmax(axis=1), random.integers(0, k, n), probabilities)
    weights = random.integers(0, 3, (1, n))
    again = np.repeat(rows, weights[0], axis=0)
    return rows, weights, again[:, 1].astype(int), again[:, 2:]


def mean_of_classes(true: np.ndarray, scores: np.ndarray, of: Callable[..., float]) -> float:
    found = [of(true == i, scores[:, i]) for i in range(scores.shape[1]) if len({*(true == i)}) == 2]
    return float(np.mean(found)) if found else 0.0


@given(st.integers(0, 2**32 - 1), st.integers(2, 25), st.integers(2, 4))
@settings(max_examples=120, deadline=None)
def test_areas_are_scikit_learns(seed: int, n: int, k: int) -> None:
    rows, weights, true, scores = case(seed, n, k)
    assert roc_auc(rows, weights)[0] == pytest.approx(mean_of_classes(true, scores, roc_auc_score), abs=1e-9)
    precision = mean_of_classes(true, scores, average_precision_score)
    if k == 2:
        precision = average_precision_score(true == 1, scores[:, 1]) if len({*true}) == 2 else 0.0
    assert pr_auc(rows, weights)[0] == pytest.approx(precision, abs=1e-9)


@given(st.integers(0, 2**32 - 1), st.integers(2, 25))
@settings(max_examples=120, deadline=None)
def test_metrics_of_one_class_are_scikit_learns(seed: int, n: int) -> None:
    rows, weights, true, scores = case(seed, n, 2)
    predicted = np.repeat(rows[:, 0], weights[0]).astype(int)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert f1(rows, weights)[0] == pytest.approx(f1_score(true, predicted, zero_division=0) if len(true) else 0)
        assert mcc(rows, weights)[0] == pytest.approx(matthews_corrcoef(true, predicted) if len(true) else 0, abs=1e-9)
    if len({*true}) == 2:
        precision, recall, _ = precision_recall_curve(true == 1, scores[:, 1])
        best = max((r for p, r in zip(precision, recall, strict=True) if p >= 0.6 - 1e-9), default=0.0)
        assert recall_at_precision(rows, weights, 0.6)[0] == pytest.approx(best)


def test_costs_are_those_of_true_and_predicted_class() -> None:
    said = {"costs": {"spam": {"ham": 10}, "ham": {"spam": 2}}}
    metric = class_metric(KIND.metrics["expected_cost"], said, SPAM)
    rows = scored(np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1]), np.eye(2)[[0, 0, 1, 1]])
    assert metric.compute(rows, np.array([[1, 1, 1, 1], [1, 0, 2, 1]])).tolist() == [-3.0, -1.0]
    assert (metric.limits, metric.default_margin) == ((-10.0, 0.0), 0.1)


def test_a_class_is_named_by_its_label_and_options_travel_as_json() -> None:
    rows, weights, *_ = case(3, 20, 3)
    names = Classes(("a", "b", "c"))
    options = with_targets({"name": "f1", "class": "c"}, names)
    found = metric_of(KIND, "f1", options)
    assert found.compute(rows, weights) == f1(rows, weights, of=2)
    assert found.options == options


@pytest.mark.parametrize(
    ("name", "said", "classes", "says"),
    [
        ("f1", {"class": "spam", "beta": 2}, SPAM, "f1 takes class, but got 'beta'"),
        ("f1", {"class": "spma"}, SPAM, "none of the data. Did you mean 'spam'.* There are: ham, spam"),
        ("accuracy", {"class": "spam"}, SPAM, "accuracy takes no options"),
        ("recall_at_precision", {"precision": 90}, SPAM, "precision is 90; give a number above 0"),
        ("recall_at_precision", {"precision": 0.9}, Classes(("a", "b", "c")), "name it, as in"),
        ("expected_cost", {"costs": {"spam": 5}}, SPAM, "no mapping of true class"),
        ("expected_cost", {"costs": {"spam": {"ham": -5}}}, SPAM, "'spam' called 'ham' is -5"),
        ("roc_auc", {}, Classes(tuple(map(str, range(60)))), "for 50 classes at most"),
    ],
)
def test_options_that_are_wrong(name: str, said: dict[str, Any], classes: Classes, says: str) -> None:
    with pytest.raises(UserError, match=says):
        class_metric(KIND.metrics[name], said, classes)


def test_costs_have_to_be_said() -> None:
    with pytest.raises(UserError, match="expected_cost needs what errors cost.*costs: {ham: {spam: 5}"):
        KIND.check_metric("expected_cost", SPAM)
