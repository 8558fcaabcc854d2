"""Metrics of several labels an example. See `peftcost.tasks.metrics`.

rows, shape (n, 2 * labels): how far each label's score lies above its threshold, then 1 for each true label, else 0.
"""

from __future__ import annotations

import numpy as np

from peftcost.tasks.metrics import share

DECISIVE = 0.0
"""A label is predicted where its score lies further than that above the threshold."""


def micro_f1(rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """F1 over all labels of all examples together: scikit-learn's micro average."""
    predicted, true = halves(rows)
    counts = np.stack([(predicted & true).sum(axis=1), predicted.sum(axis=1) + true.sum(axis=1)], axis=1)
    hits, either = (weights @ counts.astype(np.float64)).T
    return share(2 * hits, either)


def macro_f1(rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean F1 over the labels that are true or predicted in the resample."""
    predicted, true = halves(rows)
    weights = np.asarray(weights, dtype=np.float64)
    hits, either = weights @ (predicted & true), weights @ (predicted.astype(np.float64) + true)
    return share(share(2 * hits, either).sum(axis=1), (either > 0).sum(axis=1))


def halves(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which labels are predicted, and which are true: two arrays of shape (n, labels)."""
    k = rows.shape[1] // 2
    return rows[:, :k] > DECISIVE, rows[:, k:] > 0
