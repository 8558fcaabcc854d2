"""What a search can do next."""

from __future__ import annotations

from dataclasses import dataclass

from peftcost.core.setup import Setup


@dataclass(frozen=True)
class Skip:
    """This arm cannot be paid for."""

    arm: str
    needs_gpu_seconds: float


@dataclass(frozen=True)
class Explore:
    """Begin this setup, or go on to it from the checkpoint of this measured trial of its lineage."""

    setup: Setup
    parent: int | None = None


@dataclass(frozen=True)
class Confirm:
    """Train a contender again with a fresh seed."""

    setup: Setup
    seed: int


@dataclass(frozen=True)
class Wait:
    """Nothing to start until something running has ended."""


@dataclass(frozen=True)
class Stop:
    """Enough; why."""

    because: str


Action = Skip | Explore | Confirm | Wait | Stop
