"""Why rows give no value of a metric, in words that follow "undefined: "; "" where they give one.

rows: as the metric takes them, see `peftcost.tasks.metrics`, `peftcost.tasks.label_metrics`.
"""

from __future__ import annotations

import numpy as np

from peftcost.tasks.label_metrics import halves


def always_defined(rows: np.ndarray) -> str:
    """Of a metric that any row gives a value of."""
    return ""


def one_class(rows: np.ndarray, of: int | None = None) -> str:
    """Of what tells classes apart, or one class from the others. rows: (predicted, true, …) class ids."""
    true = rows[:, 1] if of is None else rows[:, 1] == of
    if len(np.unique(true)) > 1:
        return ""
    return "only one class in these rows" if of is None or true.all() else "no row of these is of its class"


def none_of_class(rows: np.ndarray, of: int = 1) -> str:
    """Of F1 of one class. rows: (predicted, true, …) class ids."""
    return "" if (rows[:, :2] == of).any() else "no row of these is of its class or called so"


def one_value(rows: np.ndarray) -> str:
    """Of correlations. rows: (predicted, true) numbers."""
    return "" if len(np.unique(rows[:, 1])) > 1 else "only one value in these rows"


def no_entity(rows: np.ndarray) -> str:
    """Of F1 over entities. rows: per sentence (right, predicted, true, …) spans."""
    return "" if rows[:, 1:3].any() else "no entity in these rows, and none predicted"


def no_label(rows: np.ndarray) -> str:
    """Of F1 over labels. rows: scores above the threshold, then the true labels."""
    predicted, true = halves(rows)
    return "" if predicted.any() or true.any() else "no label in these rows, and none predicted"
