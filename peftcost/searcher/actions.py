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
class Propose:
    """Begin this setup: one of its arm's starting points, or what Optuna proposed."""

    setup: Setup


@dataclass(frozen=True)
class Promote:
    """Go on with this measured trial's lineage, from its checkpoint to this setup."""

    trial: int
    setup: Setup


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


Start = Propose | Promote | Confirm
Action = Skip | Propose | Promote | Confirm | Wait | Stop
