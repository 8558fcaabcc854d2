"""Who is trained together."""

from __future__ import annotations

from typing import Any

from peftcost.core.setup import Setup
from peftcost.methods import get_method
from peftcost.searcher.packing_plan import Waiting, pack_bytes, packs_of

GB = 10**9


def waiting(method: str = "lora", **choices: Any) -> Waiting:
    return Waiting(Setup.of(method, {**get_method(method).prior(), **choices}, 1000), 5 * GB, 4 * GB)


def test_who_shares_a_base_is_packed_in_order() -> None:
    queue = [
        waiting(),
        waiting("full"),
        waiting(rank=4),
        waiting(top_layers=2),
        waiting("nf4-lora"),
        waiting("full"),
        waiting(top_layers=2, learning_rate=1e-4),
        waiting(learning_rate=2e-3),
    ]
    assert packs_of(queue, 0) == [[0, 2, 7], [1], [3, 6], [4], [5]]


def test_a_pack_fits_the_device() -> None:
    queue = [waiting(rank=rank) for rank in (4, 8, 16, 32)]
    assert pack_bytes(queue[:3]) == 7 * GB
    assert packs_of(queue, 7 * GB) == [[0, 1, 2], [3]]
    assert packs_of(queue, 1) == [[0], [1], [2], [3]], "whoever does not fit is somebody else's question"
    assert packs_of(queue, 0, most=2) == [[0, 1], [2, 3]]
    assert packs_of([], 0) == []


def test_the_same_setup_with_another_seed_is_packed() -> None:
    assert packs_of([waiting()] * 3, 0) == [[0, 1, 2]]
