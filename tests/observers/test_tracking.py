"""A search is told to trackers from a thread of its own."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from report.folders import with_examples
from search_events import ACQUIRED, PLANNED, SETUP, measured, started

from peftcost.engine.messages import Progress
from peftcost.observers import tracking
from peftcost.observers.tracking import Tracking
from peftcost.report.html import write_report
from peftcost.runner.runner import Runner
from peftcost.searcher.state import SearchState
from peftcost.store.journal import Journal
from peftcost.store.run_folder import RunFolder
from peftcost.trackers import Tracker


class Notes(Tracker):
    """Writes down what it is told."""

    name = "notes"

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []

    def open(self, search: Any) -> None:
        self.told.append(("open", search.name))

    def start(self, trial: int, title: str, facts: Any) -> None:
        self.told.append(("start", trial, title, facts["method"], facts["rank"]))

    def log(self, trial: int, step: int, values: Any) -> None:
        self.told.append(("log", trial, step, values))

    def end(self, trial: int, succeeded: bool, figures: Any) -> None:
        self.told.append(("end", trial, succeeded, figures.get("quality")))

    def finish(self, files: Any) -> None:
        self.told.append(("finish", [file.name for file in files]))

    def close(self) -> None:
        self.told.append(("close",))


def follow(observer: Tracking, *events: dict[str, Any]) -> SearchState:
    state = SearchState()
    for event in (PLANNED, ACQUIRED, *events):
        state.apply(event)
        observer.on_event(event, state)
    return state


def test_a_search_is_told_in_order_with_its_report_at_the_end(tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("")
    notes = Notes()
    observer = Tracking(notes, RunFolder(tmp_path))
    state = follow(observer, started(0))
    observer.on_progress(0, Progress(20, 40, 0.5, [[10, 0.9], [20, 0.7]], [[20, 0.8, 0.5]]), state)
    for event in (measured(0), {"event": "finished", "t": 9.0}):
        state.apply(event)
        observer.on_event(event, state)
    observer.close()
    observer.close()
    assert notes.told == [
        ("open", tmp_path.name),
        ("start", 0, f"000-{SETUP.id}-seed-0", "lora", SETUP.hyperparameters["rank"]),
        ("log", 0, 10, {"train_loss": 0.9}),
        ("log", 0, 20, {"train_loss": 0.7}),
        ("log", 0, 20, {"dev_loss": 0.8, "quality": 0.5}),
        ("end", 0, True, 0.75),
        ("finish", ["report.html"]),
        ("close",),
    ]


def test_the_report_goes_to_the_tracker_without_rows_of_the_data(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text(json.dumps(with_examples(tmp_path)), encoding="utf-8")
    write_report(tmp_path)
    assert "alert(5)" in (tmp_path / "report.html").read_text(encoding="utf-8")
    handed: list[str] = []

    class Reads(Notes):
        def finish(self, files: Any) -> None:
            handed.extend(file.read_text(encoding="utf-8") for file in files if file.name == "report.html")

    observer = Tracking(Reads(), RunFolder(tmp_path))
    follow(observer, {"event": "finished", "t": 9.0})
    observer.close()
    assert len(handed) == 1 and 'id="calibration"' in handed[0] and "alert(5)" not in handed[0]


def test_a_tracker_that_fails_is_left_out_of_the_search(tmp_path: Path) -> None:
    class Offline(Notes):
        def start(self, trial: int, title: str, facts: Any) -> None:
            raise ConnectionError("no route to host")

    state = SearchState()
    runner = Runner(SimpleNamespace(), Journal(), state, [Tracking(Offline(), RunFolder(tmp_path))])  # type: ignore[arg-type]
    for event in (PLANNED, ACQUIRED, started(0)):
        runner.record(event["event"], **{name: value for name, value in event.items() if name not in ("event", "t")})
    runner.close()
    (warning,) = state.warnings
    assert warning == "The observer notes failed and is left out from here on (ConnectionError: no route to host)."


def test_a_slow_tracker_holds_up_nothing_and_is_given_up_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "CLOSING_SECONDS", 0.05)
    released = threading.Event()

    class Slow(Notes):
        def open(self, search: Any) -> None:
            released.wait(30)

    observer = Tracking(Slow(), RunFolder(tmp_path))
    follow(observer, started(0), measured(0))
    with pytest.raises(TimeoutError, match="not everything was delivered"):
        observer.close()
    released.set()
