"""What happens in a search, for services: in the log of the logger `peftcost`."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from peftcost.observers.narration import lines_of
from peftcost.runner.books import Books
from peftcost.runner.observer import Observer
from peftcost.searcher.state import SearchState

logger = logging.getLogger("peftcost")
logger.addHandler(logging.NullHandler())  # silent until the caller configures logging


class SearchLog(Observer):
    """Logs each line of news: warnings as such, all else as information."""

    name = "log"

    def on_event(self, event: Mapping[str, Any], state: Books) -> None:
        assert isinstance(state, SearchState)
        level = logging.WARNING if event["event"] == "warned" else logging.INFO
        for line in lines_of(event, state):
            logger.log(level, "%s", line)
