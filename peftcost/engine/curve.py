"""The learning curve of a training: few points, evenly spaced, each the mean loss of the steps since the one before."""

from __future__ import annotations

import math
from collections.abc import Sequence

MOST_POINTS = 200
"""Of one training."""


class LossCurve:
    """Takes the losses of all steps, in order, and gives means over stretches of equal length. Stretches are counted from
    step 0, so that a training that was interrupted has the same ones."""

    def __init__(self, total_steps: int) -> None:
        self.every = max(1, math.ceil(total_steps / MOST_POINTS))
        self._open: list[float] = []
        self._ended: list[list[float]] = []

    def add(self, step: int, losses: Sequence[float]) -> None:
        """The losses of the last steps, of which `step` is how many were made in all."""
        for at, loss in enumerate(losses, start=step - len(losses) + 1):
            self._open.append(loss)
            if at % self.every == 0:
                self._end(at)

    def end(self, step: int) -> None:
        """The training ends here, also within a stretch."""
        if self._open:
            self._end(step)

    def take(self) -> list[list[float]]:
        """[step, mean loss] of the stretches that have ended since this was last asked."""
        ended, self._ended = self._ended, []
        return ended

    def _end(self, step: int) -> None:
        self._ended.append([step, sum(self._open) / len(self._open)])
        self._open = []
