"""Keeps the learning curves of a search in its folder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from peftcost.engine.messages import Progress
from peftcost.runner.books import Books
from peftcost.runner.observer import Observer
from peftcost.searcher.state import SearchState
from peftcost.searcher.trial import Trial
from peftcost.store.learning_curve import append_lines, curve_file
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
        lines: list[dict[str, Any]] = []
        if trial not in self._total_steps:
            lines.append(first_line(state.trials[trial], progress, state))
        self._total_steps[trial] = progress.total_steps
        lines += [{"step": int(step), "train_loss": loss} for step, loss in progress.losses]
        lines += [evaluation_line(int(step), loss, quality) for step, loss, quality in progress.evaluations]
        self._append(state.trials[trial], lines)

    def on_event(self, event: Mapping[str, Any], state: Books) -> None:
        if event["event"] != "measured" or event["trial"] not in self._total_steps:
            return
        assert isinstance(state, SearchState)
        measurement, step = event["measurement"], self._total_steps.pop(event["trial"])
        line = evaluation_line(step, measurement["dev_loss"], measurement["quality"])
        self._append(state.trials[event["trial"]], [line])

    def _append(self, trial: Trial, lines: list[dict[str, Any]]) -> None:
        if lines:
            append_lines(curve_file(self.folder, trial.setup.id, trial.seed), lines)


def first_line(trial: Trial, progress: Progress, state: SearchState) -> dict[str, Any]:
    """What the curve of a training begins with. parent: the setup that it goes on from, if it does."""
    parent = None if trial.parent is None else state.trials[trial.parent].setup.id
    return {"total_steps": progress.total_steps, "first_step": progress.first_step, "parent": parent}


def evaluation_line(step: int, dev_loss: float, quality: float) -> dict[str, Any]:
    return {"step": step, "dev_loss": dev_loss, "quality": quality}
