"""What fresh seeds tell of setups that were not trained again."""

from __future__ import annotations

import pytest

from peftcost.searcher.config import DEFAULT_CONFIG
from peftcost.searcher.evidence import common_shift


def shift(*differences: float) -> float:
    return common_shift([(found, 0.03**2) for found in differences], 0.025**2, DEFAULT_CONFIG.astray_deviations)


def test_what_seeds_do_to_all_alike_is_expected_of_the_others() -> None:
    assert shift() == 0.0
    assert -0.03 < shift(-0.03, -0.04) < -0.015
    assert shift(-0.03, -0.03, -0.03, -0.03) == pytest.approx(-0.03, abs=0.01)


def test_a_training_that_collapsed_tells_nothing_of_others() -> None:
    assert shift(-0.7, -0.01) == shift(-0.01)
    assert shift(-0.7) == 0.0
