"""What a view of a search is given."""

from __future__ import annotations

from typing import Any

from search_events import ACQUIRED, PLANNED, SETUP, measured, started

from peftcost.engine.messages import Progress
from peftcost.observers.progress import ProgressState, SearchProgress
from peftcost.searcher.state import SearchState

WORDS = "lora r=8, lr 1e-3, 300 examples"


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
        view.on_event({"utc": "2026-11-28T09:30:00+00:00", **event}, state)
    return view, state


def test_what_happens_is_told_in_words_and_a_warning_once() -> None:
    warned = {"event": "warned", "t": 0.0, "text": "The dev set is small."}
    failed = {"event": "failed", "t": 8.0, "trial": 1, "reason": "the loss is nan"}
    closing = {"event": "closing", "t": 9.0, "because": "nothing better is likely"}
    view, _ = follow(PLANNED, warned, warned, ACQUIRED, started(0), measured(0), started(1, seed=1, t=6.0), failed, closing)
    assert [line.text for line in view.log] == [
        "planned: 1 methods, stops at 300, 600 examples",
        "ia3 cannot run: out of memory",
        "warning: The dev set is small.",
        f"started {WORDS}, seed 0 (explore) [{SETUP.id}]",
        f"measured {WORDS}: quality 0.750 at 12.0 gpu-s [{SETUP.id}]",
        f"started {WORDS}, seed 1 (explore) [{SETUP.id}]",
        f"failed {WORDS}: the loss is nan [{SETUP.id}]",
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
        view.on_event({"utc": "2026-11-28T09:30:00+00:00", **event}, state)
    assert view.last is not None and view.last.running[0].step == 0


def test_a_run_that_goes_on_says_in_one_line_what_was_done_before() -> None:
    state = SearchState()
    limit = {"event": "budget", "t": 0.0, "limit_gpu_seconds": 600.0}
    failed = {"event": "failed", "t": 8.0, "trial": 1, "reason": "the loss is nan"}
    released = {"event": "released", "t": 61.0, "device": 0}
    for event in (limit, PLANNED, ACQUIRED, started(0), measured(0), started(1, seed=1, t=6.0), failed, released):
        state.apply(event)
    view, continued = Shown(), {"event": "continued", "t": 61.0, "utc": "2026-11-28T09:30:00+00:00"}
    state.apply(continued)
    view.on_event(continued, state)
    assert [line.text for line in view.log] == [
        "going on with a run: 1 training of 1 setup measured, 1 failed, 1 min of 10 min spent; "
        f"the best reading is 0.750 of {WORDS}"
    ]
    assert view.last is not None and [row.words for row in view.last.front] == [WORDS]
