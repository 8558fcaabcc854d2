"""Observers are told what happens, and none of them can end a run."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from peftcost.engine.messages import Progress
from peftcost.runner.books import Books
from peftcost.runner.observer import Observer
from peftcost.runner.runner import Runner
from peftcost.store.journal import Journal


class Diary(Observer):
    def __init__(self) -> None:
        self.said: list[str] = []

    def on_event(self, event: Mapping[str, Any], state: Books) -> None:
        self.said.append(event.get("text", event["event"]))

    def on_progress(self, trial: int, progress: Progress, state: Books) -> None:
        self.said.append(f"{trial} at {progress.step}")

    def close(self) -> None:
        self.said.append("closed")


class Clumsy(Diary):
    name = "clumsy"

    def on_event(self, event: Mapping[str, Any], state: Books) -> None:
        super().on_event(event, state)
        raise OSError("no\nnetwork")


class Door(Diary):
    """Cannot be closed."""

    def close(self) -> None:
        raise OSError("it is stuck")


def runner_with(*observers: Observer) -> Runner:
    return Runner(SimpleNamespace(), Journal(), Books(), observers)  # type: ignore[arg-type]


def test_all_are_told_what_is_recorded_after_the_state_took_it_in() -> None:
    class Held(Observer):
        def on_event(self, event: Mapping[str, Any], state: Books) -> None:
            assert state.held == {0}

    diary = Diary()
    runner = runner_with(Held(), diary)
    runner.record("acquired", device=0, category="startup")
    runner.progressed(3, Progress(10, 20, 0.5))
    runner.close()
    assert diary.said == ["acquired", "3 at 10", "closed"]


def test_one_that_fails_is_left_out_with_one_warning_that_the_others_see_afterwards() -> None:
    clumsy, diary = Clumsy(), Diary()
    runner = runner_with(clumsy, diary)
    runner.record("acquired", device=0, category="startup")
    runner.record("released", device=0)
    assert clumsy.said == ["acquired", "closed"]
    warning = "The observer clumsy failed and is left out from here on (OSError: no network)."
    assert diary.said == ["acquired", warning, "released"]
    assert [event["event"] for event in runner.journal.events] == ["acquired", "warned", "released"]


def test_one_that_cannot_be_closed_is_told_of_in_the_journal() -> None:
    runner = runner_with(Door())
    runner.close()
    assert [event["text"] for event in runner.journal.events] == [
        "The observer Door failed and is left out from here on (OSError: it is stuck)."
    ]
