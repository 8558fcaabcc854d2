"""Follows a journal that another process writes."""

from __future__ import annotations

import json
from pathlib import Path

from peftcost.store.journal import Event


class Tail:
    """Reads what has been appended since the last look."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._at = 0

    def new_events(self) -> list[Event]:
        """Whole lines only: the last one may still be being written."""
        with self.path.open("rb") as file:
            file.seek(self._at)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._at += len(whole)
        return [json.loads(line) for line in whole.splitlines()]
