"""How far a search is: all that a live view shows, made from its state and from what workers say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from peftcost.core.front import front
from peftcost.engine.messages import Progress
from peftcost.observers.narration import lines_of
from peftcost.runner.books import Books
from peftcost.runner.observer import Observer
from peftcost.searcher.state import SearchState
from peftcost.searcher.trial import Trial

NOT_YET = Progress(0, 0, float("nan"))


@dataclass(frozen=True)
class Running:
    """A trial that a worker holds. quality: of its lineage so far, when it has been measured before."""

    device: str
    setup_id: str
    method: str
    role: str
    seed: int
    step: int
    total_steps: int
    train_loss: float
    phase: str
    quality: float | None = None


@dataclass(frozen=True)
class FrontRow:
    """One of the best trade-offs so far."""

    id: str
    quality: float
    gpu_seconds: float
    peak_bytes: int
    seeds: int


@dataclass(frozen=True)
class ProgressState:
    """All that a view shows. log: what has happened so far, one line each."""

    spent_gpu_seconds: float
    limit_gpu_seconds: float
    eta_seconds: float
    phase: str
    running: list[Running]
    front: list[FrontRow]
    measured: int
    failed: int
    log: list[str]


class SearchProgress(Observer):
    """Follows a search. Derive from it and write `update`, which is called with each new state."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self._progress: dict[int, Progress] = {}
        """By trial, of those that run."""

    def update(self, progress: ProgressState) -> None:
        """Show this."""

    def on_event(self, event: Mapping[str, Any], state: Books) -> None:
        assert isinstance(state, SearchState)
        self.take_in(event, state)
        self.update(progress_of(state, self._progress, self.log))

    def on_progress(self, trial: int, progress: Progress, state: Books) -> None:
        assert isinstance(state, SearchState)
        self._progress[trial] = progress
        self.update(progress_of(state, self._progress, self.log))

    def take_in(self, event: Mapping[str, Any], state: SearchState) -> None:
        """What an event has to say, without showing it. A warning is told once."""
        lines = lines_of(event, state)
        self.log += [line for line in lines if event["event"] != "warned" or line not in self.log]
        if event["event"] in ("started", "resumed"):
            self._progress.pop(event["trial"], None)


def progress_of(state: SearchState, progress: Mapping[int, Progress], log: list[str]) -> ProgressState:
    """What a view needs of the state. progress: the last that was heard of each running trial."""
    spent = state.ledger.spent(state.last_t)
    measured = [t for t in state.measured() if t.measurement is not None]
    points = {
        t.setup.id: (t.measurement.quality, t.measurement.gpu_seconds, float(t.measurement.peak_bytes))
        for t in measured
        if t.measurement is not None
    }
    return ProgressState(
        spent_gpu_seconds=spent,
        limit_gpu_seconds=state.limit_gpu_seconds,
        eta_seconds=max(0.0, state.limit_gpu_seconds - spent) / max(1, len(state.held)),
        phase=state.phase,
        running=[running_of(trial, progress.get(trial.number, NOT_YET), state) for trial in state.running()],
        front=[
            FrontRow(
                id=setup_id,
                quality=points[setup_id][0],
                gpu_seconds=points[setup_id][1],
                peak_bytes=int(points[setup_id][2]),
                seeds=sum(t.setup.id == setup_id for t in measured),
            )
            for setup_id in front(points)
        ],
        measured=len(measured),
        failed=sum(t.status == "failed" for t in state.trials.values()),
        log=list(log),
    )


def running_of(trial: Trial, progress: Progress, state: SearchState) -> Running:
    """A trial that runs, with the quality at its last stop."""
    before = None if trial.parent is None else state.trials[trial.parent].measurement
    return Running(
        device=str(trial.slot),
        setup_id=trial.setup.id,
        method=trial.setup.arm,
        role=trial.role,
        seed=trial.seed,
        step=progress.step,
        total_steps=progress.total_steps,
        train_loss=progress.train_loss,
        phase=trial.phase,
        quality=None if before is None else before.quality,
    )
