"""TensorBoard: event files in the run's folder, one series a training."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from peftcost.trackers.base import Fact, TrackedSearch, Tracker


class TensorBoard(Tracker):
    """Needs neither torch nor TensorFlow: it writes the event files itself. The report stays beside them."""

    name = "tensorboard"
    package = "tensorboard"
    install = "tensorboard"

    def open(self, search: TrackedSearch) -> None:
        self._folder = search.folder / "tensorboard"
        self._writers: dict[int, Any] = {}

    def start(self, trial: int, title: str, facts: Mapping[str, Fact]) -> None:
        from tensorboard.plugins.text.summary_v2 import text_pb
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self._writers[trial] = EventFileWriter(str(self._folder / title))
        self._write(trial, 0, text_pb("setup", "\n\n".join(f"{name}: {value}" for name, value in facts.items())))

    def log(self, trial: int, step: int, values: Mapping[str, float]) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary

        value = [Summary.Value(tag=name, simple_value=figure) for name, figure in values.items()]
        self._write(trial, step, Summary(value=value))

    def end(self, trial: int, succeeded: bool, figures: Mapping[str, float]) -> None:
        if figures:
            self.log(trial, 0, {f"measured/{name}": figure for name, figure in figures.items()})
        self._writers.pop(trial).close()

    def finish(self, files: Sequence[Path]) -> None:
        from tensorboard.plugins.text.summary_v2 import text_pb

        names = ", ".join(file.name for file in files)
        self.start(-1, "search", {})
        self._write(-1, 0, text_pb("report", f"In the run's folder: {names}"))
        self.end(-1, True, {})

    def close(self) -> None:
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()

    def _write(self, trial: int, step: int, summary: Any) -> None:
        from tensorboard.compat.proto.event_pb2 import Event

        self._writers[trial].add_event(Event(wall_time=time.time(), step=step, summary=summary))
