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

    The stable phase (warm-up, then constant) ends at `stable_steps`, where the lineage's checkpoint is taken; from there a
    decay phase cools down linearly to zero at `total_steps`. What is deployed is the end of the decay; a longer setup of
    the same lineage goes on from the stable phase's end, so that no step is paid for twice.
    """

    total_steps: int
    stable_steps: int
    warmup_steps: int

    def rate_factor(self, step: int) -> float:
        """The share of the learning rate that step number `step` (from 0) uses."""
        if step >= self.stable_steps:
            return (self.total_steps - step) / (self.total_steps - self.stable_steps + 1)
        return min(1.0, (step + 1) / self.warmup_steps) if self.warmup_steps else 1.0


def plan_steps(setup: Setup, rows: int) -> StepPlan:
    """The step plan of a setup on `rows` training rows. The warm-up does not depend on the length, so that all
    stops of a lineage share one stable phase."""
    choices = setup.hyperparameters
    total = steps_for(setup.stop_examples, rows, int(choices["batch_size"] or 1))
    cooldown = round(total * float(choices["cooldown_share"] or 0.0))
    stable = max(0, total - cooldown)
    return StepPlan(total, stable, int(choices["warmup_steps"] or 0))
