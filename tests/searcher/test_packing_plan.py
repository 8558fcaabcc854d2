"""Who is trained together."""

from __future__ import annotations

from typing import Any

from peftcost.core.setup import Setup
from peftcost.methods import get_method
from peftcost.searcher.packing_plan import MOST_MEMBERS, Waiting, can_join, pack_bytes

GB = 10**9


def waiting(method: str = "lora", **choices: Any) -> Waiting:
    return Waiting(Setup.of(method, {**get_method(method).prior(), **choices}, 1000), 5 * GB, 4 * GB)


def test_who_shares_the_base_joins() -> None:
    assert can_join([waiting()], waiting(rank=4, learning_rate=2e-3), 0)
    assert can_join([waiting()], waiting(), 0), "the same setup with another seed"
    assert can_join([waiting(top_layers=2)], waiting(top_layers=2), 0)
    assert not can_join([waiting()], waiting(top_layers=2), 0)
    assert not can_join([waiting()], waiting("nf4-lora"), 0)
    assert not can_join([waiting()], waiting("full"), 0)
    assert not can_join([waiting("full")], waiting("full"), 0)
    assert not can_join([waiting()], waiting(weights="bf16"), 0)


def test_a_pack_fits_the_device() -> None:
    three = [waiting(rank=rank) for rank in (4, 8, 16)]
    assert pack_bytes(three) == 7 * GB
    assert can_join(three[:2], three[2], 7 * GB)
    assert not can_join(three, waiting(), 7 * GB)
    assert not can_join([waiting()] * MOST_MEMBERS, waiting(), 0)
