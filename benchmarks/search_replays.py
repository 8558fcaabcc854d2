"""The same search with many seeds, on every core."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

from peftcost.cost.device import usable_cores

T = TypeVar("T")


def replays(search: Callable[[int], T], seeds: Iterable[int]) -> list[T]:
    """What the search gives for each seed, in order. search: a module's function, or a `functools.partial` of one."""
    with ProcessPoolExecutor(len(usable_cores())) as pool:
        return list(pool.map(search, seeds))
