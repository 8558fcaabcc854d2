"""Which waiting setups are trained together, over one pass of their base. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from peftcost.core.setup import Setup
from peftcost.engine.sharing import can_share

MOST_MEMBERS = 8
"""Of a pack: where its step is no longer bound by starting kernels, more members take more time."""


@dataclass(frozen=True)
class Waiting:
    """A setup that is to be trained. peak_bytes: what it needs alone; base_bytes: of these the base's weights."""

    setup: Setup
    peak_bytes: int
    base_bytes: int


def can_join(members: Sequence[Waiting], one: Waiting, free_bytes: int) -> bool:
    """Whether one more can train with these. free_bytes: of the device, 0 if unknown."""
    has_room = len(members) < MOST_MEMBERS and (free_bytes == 0 or pack_bytes([*members, one]) <= free_bytes)
    return has_room and can_share([members[0].setup, one.setup]) is None


def pack_bytes(members: Sequence[Waiting]) -> int:
    """What a pack needs: its base once, and everything else of each member."""
    return max(one.base_bytes for one in members) + sum(one.peak_bytes - one.base_bytes for one in members)
