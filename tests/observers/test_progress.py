"""What a view of a search is given."""

from __future__ import annotations

from typing import Any

from peftcost.core.setup import Setup
from peftcost.cost.model import Probe
from peftcost.engine.messages import Progress
from peftcost.methods import get_method
from peftcost.observers.progress import ProgressState, SearchProgress
from peftcost.searcher.state import SearchState

SETUP = Setup.of("lora", get_method("lora").prior(), 300)
MEASUREMENT = {
    "seed": 0,
    "role": "explore",
    "quality": 0.75,
    "train_loss": 0.5,
    "dev_loss": 0.6,
    "gpu_seconds": 12.0,
    "startup_seconds": 1.0,
    "peak_bytes": 10,
    "process_peak_bytes": 20,
    "latency_seconds": 0.1,
    "artifact_bytes": 5,
    "trainable_parameters": 1,
    "total_parameters": 2,
}
PLANNED: dict[str, Any] = {
    "event": "planned",
    "t": 0.0,
    "probes": {"lora": Probe(1.0, 0.01, 0.001, 1, 1, 1).as_dict()},
    "infeasible": {"ia3": "out of memory"},
    "methods": ["lora"],
    "stops": [300, 600],
    "train_rows": 600,
    "dev_rows": 100,
    "test_rows": 0,
}
ACQUIRED = {"event": "acquired", "t": 1.0, "device": 0, "category": "startup"}


def started(trial: int, setup: Setup = SETUP, parent: int | None = None, t: float = 2.0, seed: int = 0) -> dict[str, Any]:
    names = {"trial": trial, "setup": setup.as_dict(), "id": setup.id, "lineage": setup.lineage, "device": 0}
    predicted = {"gpu_seconds": 1.0, "peak_bytes": 1, "trial_seconds": 1.0}
    return {
        "event": "started",
        "t": t,
        **names,
        "seed": seed,
        "role": "explore",
        "parent": parent,
        "predicted": predicted,
    }


def measured(trial: int, t: float = 5.0) -> dict[str, Any]:
    return {"event": "measured", "t": t, "trial": trial, "measurement": MEASUREMENT}


class Shown(SearchProgress):
    def __init__(self) -> None:
        super().__init__()
        self.last: ProgressState | None = None

    def update(self, progress: ProgressState) -> None:
        self.last = progress


def follow(*events: dict[str, Any]) -> tuple[Shown, SearchState]:
    view, state = Shown(), SearchState()
    for event in events:
        state.apply(event)
        view.on_event(event, state)
    return view, state


def test_what_happens_is_told_in_words_and_a_warning_once() -> None:
    warned = {"event": "warned", "t": 0.0, "text": "The dev set is small."}
    failed = {"event": "failed", "t": 8.0, "trial": 1, "reason": "the loss is nan"}
    closing = {"event": "closing", "t": 9.0, "because": "nothing better is likely"}
    view, _ = follow(PLANNED, warned, warned, ACQUIRED, started(0), measured(0), started(1, seed=1, t=6.0), failed, closing)
    assert view.log == [
        "planned: 1 methods, stops at 300, 600 examples",
        "ia3 cannot run: out of memory",
        "warning: The dev set is small.",
        f"{SETUP.id} started (explore, seed 0)",
        f"{SETUP.id} measured: quality 0.750 at 12.0 gpu-s",
        f"{SETUP.id} started (explore, seed 1)",
        f"{SETUP.id} failed: the loss is nan",
        "search ended: nothing better is likely",
    ]


def test_a_running_trial_has_its_steps_and_the_quality_at_its_last_stop() -> None:
    view, state = follow(PLANNED, ACQUIRED, started(0), measured(0), started(1, SETUP.until(600), parent=0, t=6.0))
    view.on_progress(1, Progress(30, 75, 0.5), state)
    assert view.last is not None
    (running,) = view.last.running
    assert (running.setup_id, running.step, running.total_steps) == (SETUP.until(600).id, 30, 75)
    assert running.quality == 0.75
    assert [(row.id, row.quality) for row in view.last.front] == [(SETUP.id, 0.75)]


def test_a_trial_that_is_resumed_has_no_steps_of_before() -> None:
    view, state = follow(PLANNED, ACQUIRED, started(0))
    view.on_progress(0, Progress(30, 75, 0.5), state)
    for event in (
        {"event": "interrupted", "t": 5.0, "trial": 0, "reason": "stopped"},
        {"event": "resumed", "t": 6.0, "trial": 0, "device": 0},
    ):
        state.apply(event)
        view.on_event(event, state)
    assert view.last is not None and view.last.running[0].step == 0
