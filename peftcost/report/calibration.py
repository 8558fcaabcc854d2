"""Whether a model is right as often as it says: the expected calibration error, and what temperature scaling would do."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar

BINS = 10
FEWEST = 50
"""Examples, of which nobody can say how a model is calibrated if there are less."""
TEMPERATURES = (0.05, 20.0)


@dataclass(frozen=True)
class Bin:
    """Examples of which the model is about as sure. confidence, accuracy: means."""

    confidence: float
    accuracy: float
    examples: int


@dataclass(frozen=True)
class Calibration:
    """error: the expected calibration error, over ten bins of equal width (Guo et al. 2017). temperature: that the logits
    would be divided by; scaled_error: the error then, each half of the examples scaled by what was fitted on the other."""

    examples: int
    accuracy: float
    confidence: float
    error: float
    temperature: float
    scaled_error: float
    bins: list[Bin]


def calibration(log_probabilities: np.ndarray, true: np.ndarray) -> Calibration | None:
    """log_probabilities: shape (n, classes). true: class ids, shape (n,). None for too few examples."""
    n = len(true)
    if n < FEWEST:
        return None
    logits = log_probabilities.astype(np.float64)
    halves = np.random.default_rng(0).permutation(n) % 2
    scaled = np.empty_like(logits)
    for half in (0, 1):
        scaled[halves == half] = logits[halves == half] / fitted_temperature(logits[halves != half], true[halves != half])
    bins = bins_of(logits, true)
    hits = logits.argmax(axis=1) == true
    return Calibration(
        examples=n,
        accuracy=float(hits.mean()),
        confidence=float(confidences(logits).mean()),
        error=error_of(bins),
        temperature=fitted_temperature(logits, true),
        scaled_error=error_of(bins_of(scaled, true)),
        bins=bins,
    )


def normalized(logits: np.ndarray) -> np.ndarray:
    """Log-probabilities, whatever the logits are shifted by."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))


def confidences(logits: np.ndarray) -> np.ndarray:
    """The probability of the class that is predicted."""
    return np.asarray(np.exp(normalized(logits).max(axis=1)))


def fitted_temperature(logits: np.ndarray, true: np.ndarray) -> float:
    """The one under which the true classes are likeliest."""

    def loss(log_temperature: float) -> float:
        return float(-normalized(logits / np.exp(log_temperature))[np.arange(len(true)), true].mean())

    low, high = np.log(TEMPERATURES)
    return float(np.exp(minimize_scalar(loss, bounds=(low, high), method="bounded").x))


def bins_of(logits: np.ndarray, true: np.ndarray) -> list[Bin]:
    """Those that are not empty, the least sure first."""
    sure, hits = confidences(logits), logits.argmax(axis=1) == true
    place = np.minimum((sure * BINS).astype(int), BINS - 1)
    return [
        Bin(float(sure[place == i].mean()), float(hits[place == i].mean()), int((place == i).sum()))
        for i in range(BINS)
        if (place == i).any()
    ]


def error_of(bins: list[Bin]) -> float:
    total = sum(found.examples for found in bins)
    return sum(found.examples * abs(found.confidence - found.accuracy) for found in bins) / total
