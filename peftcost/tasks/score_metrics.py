"""Metrics of scores: how well a class's probabilities put its examples before the others. See `peftcost.tasks.metrics`.

rows: (predicted class id, true class id, the probability of each class).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from peftcost.tasks.metrics import CHUNK, share

Of = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(hits, false alarms) down to each score, both of shape (B, scores), the highest first -> values of shape (B,)."""
POSITIVE = 1
"""Of two classes the one that is looked for where nobody names it: the second, as in scikit-learn."""


def roc_auc(rows: np.ndarray, weights: np.ndarray, of: int | None = None) -> np.ndarray:
    """Area under the ROC curve: of one class, else the mean of each class against the rest."""
    return _each_class(rows, weights, _area, of)


def pr_auc(rows: np.ndarray, weights: np.ndarray, of: int | None = None) -> np.ndarray:
    """Average precision (scikit-learn's): of one class, of two classes of the second, else the mean over classes."""
    two = rows.shape[1] == 4
    return _each_class(rows, weights, _average_precision, POSITIVE if of is None and two else of)


def recall_at_precision(rows: np.ndarray, weights: np.ndarray, precision: float = 0.9, of: int = POSITIVE) -> np.ndarray:
    """The highest recall of a class at a threshold where its precision is at least that; 0 where there is none."""

    def highest(hits: np.ndarray, alarms: np.ndarray) -> np.ndarray:
        recall = share(hits, np.broadcast_to(hits[:, -1:], hits.shape))
        reached = share(hits, hits + alarms) >= precision - 1e-12
        return np.asarray((recall * reached).max(axis=1))

    return _each_class(rows, weights, highest, of)


def _area(hits: np.ndarray, alarms: np.ndarray) -> np.ndarray:
    before = np.concatenate([np.zeros((len(hits), 1)), hits[:, :-1]], axis=1)
    steps = np.diff(alarms, axis=1, prepend=0.0)
    return share((steps * (before + hits) / 2).sum(axis=1), hits[:, -1] * alarms[:, -1])


def _average_precision(hits: np.ndarray, alarms: np.ndarray) -> np.ndarray:
    return share((np.diff(hits, axis=1, prepend=0.0) * share(hits, hits + alarms)).sum(axis=1), hits[:, -1])


def _each_class(rows: np.ndarray, weights: np.ndarray, value: Of, of: int | None) -> np.ndarray:
    """The value of one class; else its mean over the classes that, in a resample, some examples have and others have not."""
    true, scores = rows[:, 1].astype(np.int64), rows[:, 2:]
    values = np.empty(len(weights))
    for start in range(0, len(weights), CHUNK):
        some = np.asarray(weights[start : start + CHUNK], dtype=np.float64)
        found, counted = np.zeros(len(some)), np.zeros(len(some))
        for one in range(scores.shape[1]) if of is None else (of,):
            hits, alarms = _curves(scores[:, one], true == one, some)
            there = (hits[:, -1] > 0) & (alarms[:, -1] > 0)
            found += np.where(there, value(hits, alarms), 0.0)
            counted += there
        values[start : start + CHUNK] = share(found, counted)
    return values


def _curves(scores: np.ndarray, positive: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weighted hits and false alarms down to each different score, the highest first; shape (B, scores) each."""
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    ordered = weights[:, order]
    hits = np.cumsum(ordered * positive[order], axis=1)[:, ends]
    return hits, np.cumsum(ordered, axis=1)[:, ends] - hits
