"""Metrics on sufficient statistics, vectorised over resampling weights.

Each takes rows of shape (n, k) and weights of shape (B, n) and gives values of shape (B,).
"""

from __future__ import annotations

import numpy as np


def accuracy(rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Share of right predictions. rows: (prediction, target) class ids."""
    right = (rows[:, 0] == rows[:, 1]).astype(np.float64)
    return weights @ right / weights.sum(axis=1)


def macro_f1(rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean over the classes that occur of 2 tp / (2 tp + fp + fn). rows: (prediction, target) class ids."""
    classes = np.unique(rows)
    predicted = (rows[:, :1] == classes).astype(np.float64)
    actual = (rows[:, 1:2] == classes).astype(np.float64)
    true_positives = weights @ (predicted * actual)
    positives = weights @ predicted + weights @ actual
    f1 = np.divide(2 * true_positives, positives, out=np.zeros_like(positives), where=positives > 0)
    present = (weights @ actual) > 0
    return np.where(present, f1, 0.0).sum(axis=1) / np.maximum(1, present.sum(axis=1))


def entity_f1(rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Micro F1 over spans. rows: per sentence (true positives, predicted spans, actual spans, …)."""
    true_positives, predicted, actual = (weights @ rows[:, :3].astype(np.float64)).T
    total = predicted + actual
    return np.divide(2 * true_positives, total, out=np.zeros_like(total), where=total > 0)


def token_accuracy(rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Share of right tags. rows: per sentence (…, …, …, right tags, tags)."""
    right, tags = (weights @ rows[:, 3:5].astype(np.float64)).T
    return right / np.maximum(1, tags)


def spans(tags: list[str]) -> set[tuple[int, int, str]]:
    """The (start, end, type) spans of BIO tags, read as seqeval does by default: an I- that does not go on from the
    same type begins a span of its own."""
    found: set[tuple[int, int, str]] = set()
    start, kind = 0, ""
    for i, tag in enumerate([*tags, "O"]):
        prefix, _, name = tag.partition("-")
        if kind and (prefix in ("B", "O") or name != kind):
            found.add((start, i, kind))
            kind = ""
        if prefix in ("B", "I") and not kind:
            start, kind = i, name or "_"
    return found


def span_row(predicted: list[str], actual: list[str]) -> tuple[int, int, int, int, int]:
    """A sentence's sufficient statistics: right spans, predicted spans, true spans, right tags, tags."""
    ours, theirs = spans(predicted), spans(actual)
    right = sum(p == a for p, a in zip(predicted, actual, strict=True))
    return len(ours & theirs), len(ours), len(theirs), right, len(actual)
