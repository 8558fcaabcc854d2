"""events.jsonl: the append-only journal of a run, which is the truth about it.

Each line is one event: {"event": name, "t": seconds on the run's own clock, "utc": when, …}. The run's clock goes on
from where the last session of the run stopped, so a run that was resumed reads like one.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from peftcost.errors import EnvironmentFailure

Event = dict[str, Any]

FREQUENT = ("phase", "heartbeat")
"""Events that are not worth a wait for the disk: losing the last one moves a few seconds between categories."""


class Journal:
    """Appends events to a file and keeps them in memory. One writer.

    A new run's journal is held in memory until `move_to` gives it a place: a run that cannot begin leaves nothing.
    monotonic: the clock; a simulation has its own.
    """

    def __init__(self, path: Path | None = None, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.events: list[Event] = []
        self.monotonic = monotonic
        self._file: TextIO | None = None
        self._since = monotonic()
        if path is not None:
            self.events = list(read_events(path))
            _drop_torn_line(path)
            self._open(path)
        self._base = float(self.events[-1]["t"]) if self.events else 0.0

    def move_to(self, path: Path) -> None:
        """Write what was held in memory to this new file, and all that follows."""
        self._open(path)
        for event in self.events:
            self._append(event)

    def clock(self, monotonic: float | None = None) -> float:
        """Seconds on the run's clock at this reading of `monotonic`, now if not given."""
        return self._base + (self.monotonic() if monotonic is None else monotonic) - self._since

    def write(self, name: str, monotonic: float | None = None, **facts: Any) -> Event:
        """Append one event and bring it to the disk. EnvironmentFailure when that fails."""
        event: Event = {
            "event": name,
            "t": round(self.clock(monotonic), 4),
            "utc": datetime.now(UTC).isoformat(timespec="milliseconds"),
            **facts,
        }
        self._append(event)
        self.events.append(event)
        return event

    def close(self) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):  # what a full disk did not take has been told
                self._file.close()

    def _open(self, path: Path) -> None:
        try:
            self._file = path.open("a", encoding="utf-8")
        except OSError as error:
            raise EnvironmentFailure(f"{path} cannot be written ({error.strerror}).") from error

    def _append(self, event: Event) -> None:
        if self._file is None:
            return
        try:
            self._file.write(json.dumps(event, ensure_ascii=False) + "\n")
            self._file.flush()
            if event["event"] not in FREQUENT:
                os.fsync(self._file.fileno())
        except OSError as error:
            raise EnvironmentFailure(
                f"{self._file.name} cannot be written ({error.strerror}); free the disk, then run `peftcost resume`."
            ) from error


def opened_of(events: Sequence[Event]) -> Event:
    """What a run was asked, which stands near its beginning."""
    return next(event for event in events if event["event"] == "opened")


def read_events(path: Path) -> Iterator[Event]:
    """The events of a journal; a last line that a crash tore apart is passed over."""
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            yield json.loads(line)
        except json.JSONDecodeError:
            return


def _drop_torn_line(path: Path) -> None:
    """Cut the file after its last whole line, so that what is appended next starts on a line of its own."""
    if not path.exists():
        return
    data = path.read_bytes()
    whole = data.rfind(b"\n") + 1
    if whole < len(data):
        os.truncate(path, whole)
