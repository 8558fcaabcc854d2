"""How far a search is: all that a live view shows, made from its state and from what workers say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from peftcost.core.front import front
from peftcost.engine.messages import Progress
from peftcost.observers.narration import lines_of, words_of
from peftcost.runner.books import Books
from peftcost.runner.observer import Observer
from peftcost.searcher.state import SearchState
from peftcost.searcher.trial import Trial

NOT_YET = Progress(0, 0, float("nan"))


@dataclass(frozen=True)
class Running:
    """A trial that a worker holds. words: its setup's choices. quality: of its lineage so far, when it has been measured
    before."""

    device: str
    setup_id: str
    words: str
    role: str
    seed: int
    step: int
    total_steps: int
    train_loss: float
    phase: str
    quality: float | None = None


@dataclass(frozen=True)
class FrontRow:
    """One of the best trade-offs so far. words: its choices."""

    id: str
    words: str
    quality: float
    gpu_seconds: float
    peak_bytes: int
    seeds: int


@dataclass(frozen=True)
class LogLine:
    """What has happened, when, and what was spent then."""

    at: datetime
    spent_gpu_seconds: float
    text: str


@dataclass(frozen=True)
class ProgressState:
    """All that a view shows. log: what has happened so far."""

    spent_gpu_seconds: float
    limit_gpu_seconds: float
    eta_seconds: float
    phase: str
    running: list[Running]
    front: list[FrontRow]
    measured: int
    failed: int
    log: list[LogLine]


class SearchProgress(Observer):
    """Follows a search. Derive from it and write `update`, which is called with each new state."""

    def __init__(self) -> None:
        self.log: list[LogLine] = []
        self._progress: dict[int, Progress] = {}
        """By trial, of those that run."""
        self._front: list[FrontRow] | None = None
        """None until the first look: it changes with measurements alone."""

    def update(self, progress: ProgressState) -> None:
        """Show this."""

    def on_event(self, event: Mapping[str, Any], state: Books) -> None:
        assert isinstance(state, SearchState)
        self.take_in(event, state)
        self.update(self.progress(state, self._progress))

    def on_progress(self, trial: int, progress: Progress, state: Books) -> None:
        assert isinstance(state, SearchState)
        self._progress[trial] = progress
        self.update(self.progress(state, self._progress))

    def take_in(self, event: Mapping[str, Any], state: SearchState) -> None:
        """What an event has to say, without showing it. A warning is told once."""
        known = {line.text for line in self.log} if event["event"] == "warned" else set()
        at, spent = datetime.fromisoformat(event["utc"]), state.ledger.spent(event["t"])
        self.log += [LogLine(at, spent, text) for text in lines_of(event, state) if text not in known]
        if event["event"] in ("started", "resumed"):
            self._progress.pop(event["trial"], None)
        if event["event"] == "measured":
            self._front = None

    def progress(self, state: SearchState, heard: Mapping[int, Progress]) -> ProgressState:
        """How far the search is. heard: the last of each running trial."""
        if self._front is None:
            self._front = front_of(state)
        return progress_of(state, heard, self._front, self.log)


def front_of(state: SearchState) -> list[FrontRow]:
    """The best trade-offs among the last readings of each setup."""
    read = {t.setup.id: (t.setup, t.measurement) for t in state.measured() if t.measurement is not None}
    points = {name: (m.quality, m.gpu_seconds, float(m.peak_bytes)) for name, (_, m) in read.items()}
    seeds = Counter(t.setup.id for t in state.measured())
    return [
        FrontRow(name, words_of(setup), m.quality, m.gpu_seconds, m.peak_bytes, seeds[name])
        for name, (setup, m) in ((name, read[name]) for name in front(points))
    ]


def progress_of(
    state: SearchState, progress: Mapping[int, Progress], best: list[FrontRow], log: list[LogLine]
) -> ProgressState:
    """What a view needs of the state. progress: the last that was heard of each running trial. best: the front."""
    spent = state.ledger.spent(state.last_t)
    return ProgressState(
        spent_gpu_seconds=spent,
        limit_gpu_seconds=state.limit_gpu_seconds,
        eta_seconds=max(0.0, state.limit_gpu_seconds - spent) / max(1, len(state.held)),
        phase=state.phase,
        running=[running_of(trial, progress.get(trial.number, NOT_YET), state) for trial in state.running()],
        front=best,
        measured=len(state.measured()),
        failed=sum(t.status == "failed" for t in state.trials.values()),
        log=list(log),
    )


def running_of(trial: Trial, progress: Progress, state: SearchState) -> Running:
    """A trial that runs, with the quality at its last stop."""
    before = None if trial.parent is None else state.trials[trial.parent].measurement
    return Running(
        device=str(trial.slot),
        setup_id=trial.setup.id,
        words=words_of(trial.setup),
        role=trial.role,
        seed=trial.seed,
        step=progress.step,
        total_steps=progress.total_steps,
        train_loss=progress.train_loss,
        phase=trial.phase,
        quality=None if before is None else before.quality,
    )
