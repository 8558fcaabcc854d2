"""Keeps the learning curves of a search in its folder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from peftcost.engine.messages import Progress
from peftcost.runner.books import Books
from peftcost.runner.observer import Observer
from peftcost.searcher.state import SearchState
from peftcost.searcher.trial import Trial
from peftcost.store.learning_curve import Line, append_lines, curve_file, evaluation_line, first_line, progress_lines
from peftcost.store.run_folder import RunFolder


class LearningCurves(Observer):
    """Writes each training's losses and evaluations beside its rows."""

    name = "learning curves"

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self._total_steps: dict[int, int] = {}
        """By trial, of those that were heard of."""

    def on_progress(self, trial: int, progress: Progress, state: Books) -> None:
        assert isinstance(state, SearchState)
        lines = progress_lines(progress)
        if trial not in self._total_steps:
            parent = state.trials[trial].parent
            lines.insert(0, first_line(progress, None if parent is None else state.trials[parent].setup.id))
        self._total_steps[trial] = progress.total_steps
        self._append(state.trials[trial], lines)

    def on_event(self, event: Mapping[str, Any], state: Books) -> None:
        if event["event"] != "measured" or event["trial"] not in self._total_steps:
            return
        assert isinstance(state, SearchState)
        measurement, step = event["measurement"], self._total_steps.pop(event["trial"])
        line = evaluation_line(step, measurement["dev_loss"], measurement["quality"])
        self._append(state.trials[event["trial"]], [line])

    def _append(self, trial: Trial, lines: list[Line]) -> None:
        if lines:
            append_lines(curve_file(self.folder, trial.setup.id, trial.seed), lines)
