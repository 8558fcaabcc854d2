"""One setup trained with one seed, as a search knows it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from peftcost.core.measurement import Measurement, Role
from peftcost.core.setup import Setup
from peftcost.cost.model import Prediction
from peftcost.runner.slot import Slot


@dataclass
class Trial:
    """One setup with one seed. has_checkpoint: kept until the search ends, for its lineage to go on from. cut_off: ended
    because the budget was at its end."""

    number: int
    setup: Setup
    seed: int
    role: Role
    slot: Slot
    predicted: Prediction
    parent: int | None = None
    has_checkpoint: bool = True
    cut_off: bool = False
    status: Literal["running", "measured", "failed", "interrupted"] = "running"
    measurement: Measurement | None = None
    reason: str | None = None
    infeasible: bool = False
    started_t: float = 0.0
    saved_t: float = 0.0
    phase: str = "startup"

    @property
    def measured(self) -> Measurement:
        """Of a trial that has one."""
        assert self.measurement is not None
        return self.measurement
