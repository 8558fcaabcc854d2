"""Who looks on while jobs run: live views, learning curves, trackers. What they do changes nothing of what is decided."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from peftcost.core.one_line import one_line
from peftcost.engine.messages import Progress
from peftcost.runner.books import Books


class Observer:
    """Is told what happens, in the runner's own thread, so each call has to return soon. Derive from it and write the calls
    that you need; the others do nothing. An observer that raises is left out, with a warning."""

    def on_event(self, event: Mapping[str, Any], state: Books) -> None:
        """An event stands in the journal, and `state` has taken it in. Both are for reading only. In a search the state is a
        `SearchState`."""

    def on_progress(self, trial: int, progress: Progress, state: Books) -> None:
        """A training that runs has come so far; at most twice a second. trial: its number in the search, or the number of the
        job elsewhere."""

    def close(self) -> None:
        """Nothing comes any more. It can be called twice."""


class Observers:
    """Those that look on. None of them can end a run."""

    def __init__(self, observers: Iterable[Observer] = ()) -> None:
        self._observers = list(observers)

    def add(self, observer: Observer) -> None:
        self._observers.append(observer)

    def tell(self, call: Callable[[Observer], None]) -> list[str]:
        """Make the call on each. Those that raise are left out; returns a sentence on each of them."""
        failures = []
        for observer in list(self._observers):
            try:
                call(observer)
            except Exception as error:
                self._observers.remove(observer)
                with contextlib.suppress(Exception):
                    observer.close()
                what = one_line(f"{type(error).__name__}: {error}")
                failures.append(f"The observer {name_of(observer)} failed and is left out from here on ({what}).")
        return failures

    def close(self) -> list[str]:
        """Close all; returns a sentence on each that raised."""
        failures = self.tell(lambda observer: observer.close())
        self._observers.clear()
        return failures


def name_of(observer: Observer) -> str:
    """What a person calls it: its `name`, else its class."""
    return str(getattr(observer, "name", type(observer).__name__))
