"""Metrics on sufficient statistics, vectorised over resamples.

Each takes rows of shape (n, k) and weights of shape (B, n), and gives values of shape (B,).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from peftcost.data.tags import OUTSIDE, tag_parts

Span = tuple[int, int, str]
"""First token, the one after the last, type."""
CHUNK = 256
"""Resamples at a time, so that temporary arrays stay small."""


def accuracy(rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Share of right predictions. rows: (predicted, true) class ids."""
    right = (rows[:, 0] == rows[:, 1]).astype(np.float64)
    return share(weights @ right, weights.sum(axis=1))


def macro_f1(rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean F1 over the classes that are true or predicted in the resample: scikit-learn's macro average of it.

    rows: (predicted, true) class ids. The counts per class are one sparse product for a chunk of resamples.
    """
    from scipy.sparse import csr_array

    n = len(rows)
    classes, ids = np.unique(rows[:, :2], return_inverse=True)
    predicted, true = ids.reshape(n, 2).T
    right = np.flatnonzero(predicted == true)

    def members(of: np.ndarray, examples: np.ndarray) -> csr_array:
        return csr_array((np.ones(len(examples)), (of, examples)), shape=(len(classes), n))

    hits, either = members(true[right], right), members(predicted, np.arange(n)) + members(true, np.arange(n))
    values = np.empty(len(weights))
    for start in range(0, len(weights), CHUNK):
        columns = np.asarray(weights[start : start + CHUNK], dtype=np.float64).T
        counts = either @ columns  # predicted + true, per class
        f1 = share(2 * (hits @ columns), counts)
        values[start : start + CHUNK] = share(f1.sum(axis=0), (counts > 0).sum(axis=0))
    return values


def f1(rows: np.ndarray, weights: np.ndarray, of: int = 1) -> np.ndarray:
    """F1 of one class: of two, the second, as in scikit-learn. rows: (predicted, true) class ids."""
    predicted, true = rows[:, 0] == of, rows[:, 1] == of
    counts = np.stack([predicted & true, predicted.astype(np.int64) + true], axis=1).astype(np.float64)
    hits, either = (weights @ counts).T
    return share(2 * hits, either)


def mcc(rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Matthews' correlation (of several classes, Gorodkin's), 0 where either side has one class. rows: (predicted, true)."""
    weights = np.asarray(weights, dtype=np.float64)
    classes = np.unique(rows[:, :2])
    predicted, true = (weights @ (rows[:, [side]] == classes) for side in (0, 1))
    right, total = weights @ (rows[:, 0] == rows[:, 1]), weights.sum(axis=1)
    of_predicted, of_true = (total**2 - np.square(counts).sum(axis=1) for counts in (predicted, true))
    return share(right * total - (predicted * true).sum(axis=1), np.sqrt(of_predicted * of_true))


def expected_cost(rows: np.ndarray, weights: np.ndarray, costs: np.ndarray | None = None) -> np.ndarray:
    """The mean cost of a prediction, negative. rows: (predicted, true) class ids. costs: true by predicted; 1 an error."""
    predicted, true = rows[:, :2].astype(np.int64).T
    each = (predicted != true).astype(np.float64) if costs is None else costs[true, predicted]
    return -share(weights @ each, weights.sum(axis=1))


def entity_f1(rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """F1 over spans, micro-averaged: both ends and the type have to be right (CoNLL-2003, Tjong Kim Sang 2003).

    rows: per sentence (right spans, predicted spans, true spans, …).
    """
    right, predicted, true = (weights @ rows[:, :3].astype(np.float64)).T
    return share(2 * right, predicted + true)


def token_accuracy(rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Share of words with the right tag. rows: per sentence (…, …, …, right words, words)."""
    right, words = (weights @ rows[:, 3:5].astype(np.float64)).T
    return share(right, words)


def pearson(rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Pearson's correlation, 0 where one of both does not vary. rows: (predicted, true)."""
    return _correlation(np.broadcast_to(rows[:, 0], weights.shape), np.broadcast_to(rows[:, 1], weights.shape), weights)


def spearman(rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Spearman's correlation: Pearson's of the ranks in each resample; ties share a mean rank. rows: (predicted, true)."""
    values = np.empty(len(weights))
    for start in range(0, len(weights), CHUNK):
        some = np.asarray(weights[start : start + CHUNK], dtype=np.float64)
        values[start : start + CHUNK] = _correlation(_ranks(rows[:, 0], some), _ranks(rows[:, 1], some), some)
    return values


def negative_rmse(rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The root of the mean squared error, negative. rows: (predicted, true)."""
    squares = np.square(rows[:, 0].astype(np.float64) - rows[:, 1])
    return -np.sqrt(share(weights @ squares, weights.sum(axis=1)))


def _ranks(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The mean rank of each example in each resample, shape (B, n)."""
    different, ids = np.unique(values, return_inverse=True)
    counts = np.zeros((len(weights), len(different)))
    np.add.at(counts.T, ids, weights.T)
    return (np.cumsum(counts, axis=1) - counts / 2)[:, ids]


def _correlation(a: np.ndarray, b: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted correlation along the last axis, of arrays of shape (B, n)."""
    total = weights.sum(axis=1, keepdims=True)
    a, b = (x - share((weights * x).sum(axis=1, keepdims=True), total) for x in (a.astype(np.float64), b.astype(np.float64)))
    covariance, of_a, of_b = ((weights * x).sum(axis=1) for x in (a * b, a * a, b * b))
    return share(covariance, np.sqrt(of_a * of_b))


def share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole, and 0 where the whole is 0."""
    return np.divide(part, whole, out=np.zeros(np.shape(part)), where=whole > 0)


def spans(tags: Sequence[str]) -> set[Span]:
    """The entities of IO, IOB1, IOB2, IOBES, BILOU or bare tags, read as seqeval does by default (and conlleval before it).

    A span begins at B or S, where the type changes, and after E or S; so an I that follows O begins one too. A tag of no
    scheme is outside.
    """
    found: set[Span] = set()
    start, letter_before, kind_before = 0, OUTSIDE, ""
    for i, tag in enumerate([*tags, OUTSIDE]):
        letter, kind = tag_parts(tag) or (OUTSIDE, "")
        goes_on = letter in ("I", "E") and letter_before in ("B", "I") and kind == kind_before
        if not goes_on:
            if letter_before != OUTSIDE:
                found.add((start, i, kind_before))
            start = i
        letter_before, kind_before = letter, kind
    return found


def span_row(predicted: Sequence[str], true: Sequence[str], kinds: Sequence[str] = ()) -> list[int]:
    """What a sentence adds: right spans, predicted spans, true spans, right words, words; then the first three of each of
    these kinds of entities."""
    guessed, gold = spans(predicted), spans(true)
    right_words = sum(p == t for p, t in zip(predicted, true, strict=True))
    by_kind = [Counter(kind for _, _, kind in found) for found in (guessed & gold, guessed, gold)]
    whole = [len(guessed & gold), len(guessed), len(gold), right_words, len(true)]
    return [*whole, *(counts[kind] for kind in kinds for counts in by_kind)]
