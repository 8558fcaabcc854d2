"""Metrics of classes that ask for a class, a precision or costs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from peftcost.errors import UserError, did_you_mean
from peftcost.tasks.base import Metric
from peftcost.tasks.metrics import expected_cost
from peftcost.tasks.targets import Classes

MOST_SCORED = 50
"""Classes of which probabilities are kept with predictions."""
MOST_SHOWN = 10
"""Classes that an error names."""
OPTIONS = {
    "f1": ("class",),
    "roc_auc": ("class",),
    "pr_auc": ("class",),
    "recall_at_precision": ("precision", "class"),
    "expected_cost": ("costs",),
}
SCORED = ("roc_auc", "pr_auc", "recall_at_precision")
OF_ONE_CLASS = ("f1", "recall_at_precision")


def confusion(pairs: np.ndarray, classes: int) -> np.ndarray:
    """True class by predicted class, of the predicted and the true class id of each example, shape (n, 2)."""
    n = max(classes, int(pairs.max()) + 1 if len(pairs) else 0)
    counts = np.zeros((n, n), dtype=int)
    np.add.at(counts, (pairs[:, 1], pairs[:, 0]), 1)
    return counts


def check_class_metric(name: str, classes: Classes, options: Mapping[str, Any] | None = None) -> None:
    """UserError if the metric makes no sense for these classes, or lacks what it needs."""
    if name in SCORED and len(classes) > MOST_SCORED:
        raise UserError(f"{name} is for {MOST_SCORED} classes at most, but there are {len(classes)}; choose macro_f1.")
    if name in OF_ONE_CLASS and len(classes) > 2 and "class" not in (options or {}):
        raise UserError(
            f"{name} is of one class, and there are {len(classes)}; name it, as in "
            f"`metric: {{name: {name}, class: {classes.names[0]}}}`."
        )
    if name == "expected_cost" and "costs" not in (options or {}):
        one, other = classes.names[:2]
        raise UserError(
            "expected_cost needs what errors cost, by true and predicted class, as in "
            f"`metric: {{name: expected_cost, costs: {{{one}: {{{other}: 5}}, {other}: {{{one}: 1}}}}}}`."
        )


def class_metric(metric: Metric, options: Mapping[str, Any], classes: Classes) -> Metric:
    """The metric with its options. UserError for one that it has not, or that makes no sense."""
    known = OPTIONS.get(metric.name, ())
    unknown = [option for option in options if option not in known]
    if unknown:
        takes = f"takes {' and '.join(known)}" if known else "takes no options"
        raise UserError(f"{metric.name} {takes}, but got {unknown[0]!r}.")
    check_class_metric(metric.name, classes, options)
    if metric.name == "expected_cost":
        costs = cost_matrix(options["costs"], classes)
        highest = float(costs.max())
        return Metric(metric.name, 0.01 * highest, partial(expected_cost, costs=costs), (-highest, 0.0))
    said: dict[str, Any] = {}
    if "class" in options:
        said["of"] = class_id(options["class"], classes)
    if "precision" in options:
        said["precision"] = share_of(options["precision"])
    of = {key: value for key, value in said.items() if key == "of"}
    undefined = partial(metric.undefined, **of) if of else metric.undefined
    return replace(metric, compute=partial(metric.compute, **said), undefined=undefined)


def class_id(name: Any, classes: Classes) -> int:
    """The id of a class that a metric's option names."""
    label = str(name)
    if label not in classes.ids:
        names = ", ".join(classes.names[:MOST_SHOWN]) + (", …" if len(classes) > MOST_SHOWN else "")
        near = did_you_mean(label, list(classes.names))
        raise UserError(f"the metric's class {label!r} is none of the data.{near} There are: {names}.")
    return classes.ids[label]


def share_of(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
        raise UserError(f"the metric's precision is {value!r}; give a number above 0 and up to 1.")
    return float(value)


def cost_matrix(costs: Any, classes: Classes) -> np.ndarray:
    """Costs by true and predicted class id: 0 for what is right and 1 for an error, where nothing is said."""
    found = 1.0 - np.eye(len(classes))
    if not isinstance(costs, Mapping) or not all(isinstance(row, Mapping) for row in costs.values()):
        raise UserError("the metric's costs are no mapping of true class to predicted class to cost, as in {spam: {ham: 5}}.")
    for true, row in costs.items():
        for predicted, cost in row.items():
            if isinstance(cost, bool) or not isinstance(cost, int | float) or not 0 <= cost < math.inf:
                raise UserError(f"the metric's cost of {true!r} called {predicted!r} is {cost!r}; give a number, 0 or more.")
            found[class_id(true, classes), class_id(predicted, classes)] = cost
    if not found.any():
        raise UserError("all of the metric's costs are 0, so that any prediction is as good; say what errors cost.")
    return found
