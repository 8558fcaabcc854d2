"""Tells a tracker of a search, from a thread of its own: a slow network holds up neither the devices nor the budget."""

from __future__ import annotations

import queue
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from peftcost.core.setup import Setup
from peftcost.engine.messages import Progress
from peftcost.report.examples import Shown
from peftcost.report.html import html_text
from peftcost.report.view import view_of
from peftcost.runner.books import Books
from peftcost.runner.observer import Observer
from peftcost.searcher.state import SearchState
from peftcost.searcher.trial import Trial
from peftcost.store.run_folder import RunFolder
from peftcost.trackers import Fact, TrackedSearch, Tracker

CLOSING_SECONDS = 60.0
"""How long the tracker may take at the end to deliver what is left."""
FIGURES = ("quality", "dev_loss", "gpu_seconds", "startup_seconds", "peak_bytes", "latency_seconds", "trainable_parameters")
REPORT = ("report.html", "front.png")


class Tracking(Observer):
    """What the tracker raises is raised at the next call, so that it is left out like any observer."""

    def __init__(self, tracker: Tracker, folder: RunFolder) -> None:
        self.name, self.tracker, self.folder = tracker.name, tracker, folder
        self._calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._error: Exception | None = None
        self._started: set[int] = set()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name=f"peftcost-{tracker.name}", daemon=True)
        self._calls.put(lambda: tracker.open(TrackedSearch(folder.name, folder.path.absolute())))
        self._thread.start()

    def on_event(self, event: Mapping[str, Any], state: Books) -> None:
        assert isinstance(state, SearchState)
        name, tracker = event["event"], self.tracker
        if name in ("started", "resumed"):
            self._start(state.trials[event["trial"]])
        elif name in ("measured", "failed") and event["trial"] in self._started:
            number, measured = event["trial"], event.get("measurement") or {}
            self._started.discard(number)
            figures = {figure: float(measured[figure]) for figure in FIGURES if figure in measured}
            self._put(lambda: tracker.end(number, name == "measured", figures))
        elif name == "finished":
            self._put(self._finish)

    def on_progress(self, trial: int, progress: Progress, state: Books) -> None:
        points = [(int(step), {"train_loss": loss}) for step, loss in progress.losses]
        points += [(int(step), {"dev_loss": loss, "quality": quality}) for step, loss, quality in progress.evaluations]
        for step, values in sorted(points, key=lambda point: point[0]) if trial in self._started else ():
            self._put(lambda step=step, values=values: self.tracker.log(trial, step, values))  # type: ignore[misc]

    def close(self) -> None:
        """TimeoutError when the tracker does not deliver in time; what it then has not, is lost."""
        if self._closed:
            return
        self._closed = True
        self._calls.put(self.tracker.close)
        self._calls.put(None)
        self._thread.join(CLOSING_SECONDS)
        if self._thread.is_alive():
            raise TimeoutError(f"not everything was delivered within {CLOSING_SECONDS:.0f} s")
        if self._error is not None:
            raise self._error

    def _finish(self) -> None:
        """Hand over the report, written without rows of the data."""
        with tempfile.TemporaryDirectory(prefix="peftcost-report-") as folder:
            own = self.folder.path.absolute()
            files = [own / name for name in REPORT]
            if self.folder.result_file.exists():
                files[0] = Path(folder) / REPORT[0]
                result = self.folder.read_result()
                text = html_text(view_of(result, str(self.folder.path)), result, own, shown=Shown(examples=False))
                files[0].write_text(text, encoding="utf-8")
            self.tracker.finish([file for file in files if file.exists()])

    def _start(self, trial: Trial) -> None:
        if trial.number in self._started:
            return
        self._started.add(trial.number)
        title, facts = f"{trial.number:03d}-{trial.setup.id}-seed-{trial.seed}", facts_of(trial.setup, trial)
        self._put(lambda: self.tracker.start(trial.number, title, facts))

    def _put(self, call: Callable[[], None]) -> None:
        if self._error is not None:
            raise self._error
        self._calls.put(call)

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            try:
                if self._error is None:
                    call()
            except Exception as error:
                self._error = error


def facts_of(setup: Setup, trial: Trial) -> dict[str, Fact]:
    """What a tracker is told of a training when it begins."""
    own: dict[str, Fact] = {"setup": setup.id, "method": setup.method, "lineage": setup.lineage, "seed": trial.seed}
    return {**own, "stop_examples": setup.stop_examples, "role": trial.role, **setup.hyperparameters}
