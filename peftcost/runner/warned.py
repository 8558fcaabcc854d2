"""Tells the warnings of jobs that no search has asked for: rows left out, copies, labels that contradict each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from peftcost.runner.books import Books
from peftcost.runner.observer import Observer


class Warned(Observer):
    """tell: is given one sentence after the other."""

    name = "warnings"

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell

    def on_event(self, event: Mapping[str, Any], state: Books) -> None:
        if event["event"] == "warned":
            self._tell(f"warning: {event['text']}")
