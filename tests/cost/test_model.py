"""What setups cost that differ from the probed one in how many layers they train."""

from __future__ import annotations

from dataclasses import replace

import pytest

from peftcost.core.setup import Setup
from peftcost.cost.model import FIXED_SECONDS, GROUP_ENDING_SECONDS, CostModel, Probe
from peftcost.methods import get_method

FULL_DEPTH = Probe(1.0, 0.042, 0.011, 300_000_000, 1_000_000, 22_700_000, layers=6)
HEAD_ALONE = Probe(
    1.0, 0.0005, 0.011, 105_000_000, 1_000, 22_700_000, frozen_seconds_per_example=0.011, layers=6, top_layers=0
)


def of(method: str, top_layers: int | None, stop: int = 1600) -> Setup:
    return Setup.of(method, {**get_method(method).prior(), "top_layers": top_layers}, stop)


def test_adapters_in_the_upper_layers_take_their_share_and_one_pass_below() -> None:
    """Measured on tweets: LoRA in all six layers 61 to 75 s for 1,600 examples, in the upper four 52 to 60, two 33 to 37."""
    cost = CostModel({"lora": FULL_DEPTH}, 1000, 1000, train_rows=1600)
    seconds = {top: cost.predict(of("lora", top)).gpu_seconds for top in (None, 4, 2)}
    assert seconds[None] == pytest.approx(67, abs=3)
    assert seconds[4] == pytest.approx(55, abs=6)
    assert seconds[2] == pytest.approx(35, abs=4)
    peaks = {top: cost.predict(of("lora", top)).peak_bytes for top in (None, 4, 2)}
    assert peaks[None] > peaks[4] > peaks[2] > 4 * 22_700_000


def test_a_frozen_base_with_upper_layers_takes_more_than_the_head_alone() -> None:
    """Measured: the head 22 s, with one layer 33, with two 40."""
    cost = CostModel({"frozen": HEAD_ALONE}, 1000, 1000, train_rows=1600)
    seconds = [cost.predict(of("frozen", top)).gpu_seconds for top in (0, 1, 2)]
    assert seconds == pytest.approx([18, 24, 30], abs=4)
    assert seconds == sorted(seconds)


def test_what_was_measured_takes_the_place_of_the_guess() -> None:
    cost = CostModel({"lora": FULL_DEPTH}, 1000, 1000, train_rows=1600).corrected(of("lora", 2, 400), 12.0)
    assert cost.predict(of("lora", 2, 400)).gpu_seconds == pytest.approx(12.0)
    assert cost.predict(of("lora", 2)).gpu_seconds == pytest.approx(48.0)


def test_without_the_number_of_layers_the_probe_stands() -> None:
    unknown = Probe(1.0, 0.042, 0.011, 300_000_000, 1_000_000, 22_700_000)
    assert unknown.at_depth(2) == unknown


def test_what_is_kept_of_the_frozen_prefix_is_not_paid_again_by_the_search() -> None:
    """But it is part of what the setup costs."""
    cost, setup = CostModel({"frozen": HEAD_ALONE}, 1000, 1000, train_rows=1600), of("frozen", 0)
    alone, halfway, found = (cost.with_kept(setup, rows, rows).predict(setup) for rows in (0, 800, 1600))
    assert alone == cost.predict(setup)
    assert alone.gpu_seconds == halfway.gpu_seconds == found.gpu_seconds
    assert alone.trial_seconds - halfway.trial_seconds == pytest.approx(0.011 * 800 + 0.0105 * 800)
    assert found.trial_seconds == pytest.approx(1.0 + 1.5 + 0.0005 * (1600 + 1000))
    deeper = of("frozen", 1)
    assert cost.with_kept(setup, 1600, 1000).predict(deeper) == cost.predict(deeper)
    parent = of("frozen", 0, 800)
    assert cost.with_kept(setup, 800, 1000).predict(setup, parent).trial_seconds < cost.predict(setup, parent).trial_seconds


def test_a_length_of_nothing_takes_what_stands_beside_training() -> None:
    cost = CostModel({"frozen": HEAD_ALONE}, 1000, 1000)
    assert cost.predict(of("frozen", 0, 0)).trial_seconds == pytest.approx(1.0 + 1.5 + 0.011 * 1000)


def test_closing_a_group_of_devices_counts_its_end_and_each_devices_seconds() -> None:
    """The runner gives up the test where less than the end of each device is left."""
    alone = CostModel({"frozen": HEAD_ALONE}, 1000, 1000)
    pair = replace(alone, ranks=2)
    assert pair.closing_seconds() == alone.closing_seconds() + 3 * FIXED_SECONDS + 2 * GROUP_ENDING_SECONDS
    asked = of("frozen", 0)
    assert pair.predict(asked).trial_seconds == alone.predict(asked).trial_seconds + FIXED_SECONDS
    assert pair.predict(asked).gpu_seconds == alone.predict(asked).gpu_seconds


def test_writing_at_the_end_is_kept_back_for_both_who_write() -> None:
    silent = CostModel({"lora": FULL_DEPTH, "full": FULL_DEPTH}, 1000, 1000)
    writes = replace(silent, probes={**silent.probes, "lora": replace(FULL_DEPTH, answering_seconds=20.0)})
    assert writes.closing_seconds() - silent.closing_seconds() == pytest.approx(2 * (20.0 + 1.0 + FIXED_SECONDS))


@pytest.mark.parametrize(
    ("method", "choices", "held_bytes"),
    [("lora", {}, 4), ("lora", {"weights": "bf16"}, 2), ("int8-lora", {}, 1), ("nf4-lora", {}, 0.5)],
)
def test_setups_over_one_pass_share_the_base_as_it_is_held(method: str, choices: dict[str, str], held_bytes: float) -> None:
    cost = CostModel({method: Probe(1.0, 0.1, 0.03, 9 * 10**9, 10**7, 10**9 + 10**7)}, 100, 100, 1000)
    setup = Setup.of(method, {**get_method(method).prior(), **choices}, 1000)
    assert cost.base_bytes(setup) == held_bytes * 10**9
