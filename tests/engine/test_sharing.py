"""Who is trained together."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from peftcost.core.setup import Setup
from peftcost.engine.sharing import MOST_MEMBERS, can_join, pack_bytes
from peftcost.methods import get_method

GB = 10**9
COST: Any = SimpleNamespace(predict=lambda setup: SimpleNamespace(peak_bytes=5 * GB), base_bytes=lambda setup: 4 * GB)


def waiting(method: str = "lora", **choices: Any) -> Setup:
    return Setup.of(method, {**get_method(method).prior(), **choices}, 1000)


def test_who_shares_the_base_joins() -> None:
    assert can_join([waiting()], waiting(rank=4, learning_rate=2e-3), COST, 0)
    assert can_join([waiting()], waiting(), COST, 0), "the same setup with another seed"
    assert can_join([waiting(top_layers=2)], waiting(top_layers=2), COST, 0)
    assert not can_join([waiting()], waiting(top_layers=2), COST, 0)
    assert not can_join([waiting()], waiting("nf4-lora"), COST, 0)
    assert not can_join([waiting()], waiting("full"), COST, 0)
    assert not can_join([waiting("full")], waiting("full"), COST, 0)
    assert not can_join([waiting()], waiting(weights="bf16"), COST, 0)


def test_a_pack_fits_the_device() -> None:
    three = [waiting(rank=rank) for rank in (4, 8, 16)]
    assert pack_bytes(three, COST) == 7 * GB
    assert can_join(three[:2], three[2], COST, 7 * GB)
    assert not can_join(three, waiting(), COST, 7 * GB)
    assert not can_join([waiting()] * MOST_MEMBERS, waiting(), COST, 0)
