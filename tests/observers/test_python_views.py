"""What Python callers see of a search: a bar, and the log."""

from __future__ import annotations

import io
import logging
import sys

import pytest

from peftcost.observers.log import SearchLog
from peftcost.observers.progress import FrontRow, ProgressState
from peftcost.observers.progress_bar import SearchBar, watched
from peftcost.searcher.state import SearchState

STATE = ProgressState(
    spent_gpu_seconds=30.0,
    limit_gpu_seconds=120.0,
    eta_seconds=90.0,
    phase="explore",
    running=[],
    front=[FrontRow("lora-1", "lora r=8", 0.7512, 3.0, 10**8, 1)],
    measured=4,
    failed=0,
    log=[],
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_a_bar_and_a_file_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = {}
    for stream in (Terminal(), io.StringIO()):
        monkeypatch.setattr(sys, "stderr", stream)
        bar = SearchBar()
        bar.update(STATE)
        bar.close()
        shown[type(stream)] = stream.getvalue()
    assert all(word in shown[Terminal] for word in ("explore", "25%", "4 measured", "best 0.751"))
    assert shown[io.StringIO] == ""


def test_quiet_shows_no_bar() -> None:
    assert not any(isinstance(observer, SearchBar) for observer in watched([], quiet=True))
    assert any(isinstance(observer, SearchBar) for observer in watched([], quiet=False))


def test_services_read_the_news_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="peftcost")
    SearchLog().on_event({"event": "warned", "text": "The dev set is small."}, SearchState())
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("peftcost", "WARNING")
    assert "The dev set is small." in record.message
