"""Guesses of what quality a lineage will have."""

from __future__ import annotations

import numpy as np
import pytest

from peftcost.searcher.outlook import PRIOR_GAIN, Outlook, Seen

STOPS = [100, 200, 400]


def lineages(n: int, rows: int, seed: int = 0) -> tuple[list[Seen], dict[str, float]]:
    """n lineages of one method: the truth, and what a sample of dev and its loss show of it at the first stop."""
    random = np.random.default_rng(seed)
    truth = {f"lora-{i}": float(q) for i, q in enumerate(random.normal(0.7, 0.03, n))}
    seen = [
        Seen("lora", name, 100, float(random.binomial(rows, q) / rows), 1.5 - q + float(random.normal(0, 0.004)), rows)
        for name, q in truth.items()
    ]
    return seen, truth


def test_losses_tell_qualities_apart_that_a_small_sample_cannot() -> None:
    better = 0
    for seed in range(20):
        seen, truth = lineages(12, 200, seed)
        outlook = Outlook(seen, STOPS)
        drawn = sum((outlook.now(s.lineage, 100).mean - truth[s.lineage]) ** 2 for s in seen)
        plain = sum((s.quality - truth[s.lineage]) ** 2 for s in seen)
        better += drawn < plain
    assert better >= 17


def test_what_training_on_brought_others_is_expected_of_the_rest() -> None:
    seen, _ = lineages(8, 10_000)
    further = [Seen(s.method, s.lineage, 200, s.quality + 0.1, s.dev_loss - 0.1, s.rows) for s in seen[:6]]
    before, after = Outlook(seen, STOPS), Outlook([*seen, *further], STOPS)
    name = seen[7].lineage
    assert before.later(name, 100, 200).mean == pytest.approx(before.now(name, 100).mean + PRIOR_GAIN)
    assert after.later(name, 100, 200).mean - after.now(name, 100).mean > 0.06


def test_farther_ahead_is_less_certain() -> None:
    seen, _ = lineages(8, 500)
    outlook = Outlook(seen, STOPS)
    name = seen[0].lineage
    deviations = [outlook.now(name, 100).deviation, *(outlook.later(name, 100, stop).deviation for stop in (200, 400))]
    assert deviations == sorted(deviations)
    assert outlook.new("lora", 100).deviation > outlook.now(name, 100).deviation


def test_nothing_seen_is_no_error() -> None:
    assert Outlook([], STOPS).new("lora", 400).deviation > 0.1
