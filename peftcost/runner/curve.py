"""Writes the learning curve of a training that no search has asked for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from peftcost.engine.messages import Progress
from peftcost.runner.books import Books
from peftcost.runner.observer import Observer
from peftcost.store.learning_curve import append_lines, evaluation_line, first_line, progress_lines


class CurveFile(Observer):
    """Follows one job after the other: call `begin` before each, and `end` with its result."""

    name = "learning curve"

    def __init__(self, file: Path) -> None:
        self.begin(file)

    def begin(self, file: Path) -> None:
        """The next job's curve goes to this file, in place of what an interrupted one left there."""
        self.file, self._total_steps = file, 0
        file.unlink(missing_ok=True)

    def on_progress(self, trial: int, progress: Progress, state: Books) -> None:
        head = [] if self._total_steps else [first_line(progress, None)]
        self._total_steps = progress.total_steps
        append_lines(self.file, [*head, *progress_lines(progress)])

    def end(self, measured: Mapping[str, Any]) -> None:
        """Write the evaluation at the end."""
        if self._total_steps:
            append_lines(self.file, [evaluation_line(self._total_steps, measured["dev_loss"], measured["quality"])])
