"""Calibration, and labels that are perhaps wrong, on predictions of which the truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from peftcost.report.calibration import calibration, normalized
from peftcost.report.examples import suspects


def predictions(n: int, sharpness: float) -> tuple[np.ndarray, np.ndarray]:
    """Log-probabilities that are right as often as they say where sharpness is 1, too sure above it; and the labels."""
    random = np.random.default_rng(0)
    logits = random.normal(0, 1.5, (n, 3))
    p = np.exp(normalized(logits))
    true = np.array([random.choice(3, p=row) for row in p])
    return normalized(sharpness * logits), true


def test_what_is_calibrated_is_left_alone() -> None:
    found = calibration(*predictions(4000, 1.0))
    assert found is not None and found.error < 0.03
    assert found.temperature == pytest.approx(1.0, abs=0.1) and found.scaled_error < 0.03
    assert sum(bin.examples for bin in found.bins) == found.examples == 4000


def test_what_is_too_sure_is_cooled_down() -> None:
    found = calibration(*predictions(4000, 3.0))
    assert found is not None and found.confidence > found.accuracy + 0.1 and found.error > 0.1
    assert found.temperature == pytest.approx(3.0, rel=0.1) and found.scaled_error < found.error / 3


def test_of_few_rows_nobody_says_so() -> None:
    assert calibration(*predictions(30, 1.0)) is None


def test_swapped_labels_are_found() -> None:
    logs, true = predictions(2000, 1.0)
    true = logs.argmax(axis=1)
    sure = np.flatnonzero(np.exp(logs).max(axis=1) > 0.95)[:20]
    noisy = true.copy()
    noisy[sure] = (true[sure] + 1) % 3
    found = suspects(logs, noisy)
    assert found[sure].all() and found.sum() == 20
