"""How long to train and how fast: steps, warm-up, constant rate, cool-down. Pure functions."""

from __future__ import annotations

import math
from dataclasses import dataclass

from peftcost.core.setup import Setup


def steps_for(examples: int, rows: int, batch_size: int) -> int:
    """Optimizer steps until `examples` were seen, when each epoch of `rows` ends with a partial batch."""
    epochs, rest = divmod(examples, rows)
    return epochs * math.ceil(rows / batch_size) + math.ceil(rest / batch_size)


@dataclass(frozen=True)
class StepPlan:
    """The steps of one setup.

    The trunk (warm-up, then constant) ends at `trunk_steps`, where the lineage's checkpoint is taken; from there a
    branch cools down linearly to zero at `total_steps`. What is deployed is the end of the branch; a longer setup of
    the same lineage goes on from the trunk, so that the trunk is never paid for twice.
    """

    total_steps: int
    trunk_steps: int
    warmup_steps: int

    def rate_factor(self, step: int) -> float:
        """The share of the learning rate that step number `step` (from 0) uses."""
        if step >= self.trunk_steps:
            return (self.total_steps - step) / (self.total_steps - self.trunk_steps + 1)
        return min(1.0, (step + 1) / self.warmup_steps) if self.warmup_steps else 1.0


def plan_steps(setup: Setup, rows: int) -> StepPlan:
    """The step plan of a setup on `rows` training rows. The warm-up does not depend on the length, so that all
    stops of a lineage share one trunk."""
    choices = setup.hyperparameters
    total = steps_for(setup.stop_examples, rows, int(choices["batch_size"] or 1))
    cooldown = round(total * float(choices["cooldown_share"] or 0.0))
    trunk = max(0, total - cooldown)
    return StepPlan(total, trunk, int(choices["warmup_steps"] or 0))
