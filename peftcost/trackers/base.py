"""What a tracker is told of a search: names, choices and figures, never a text of the user's data."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

Fact = str | int | float | bool | None


@dataclass(frozen=True)
class TrackedSearch:
    """name: of the run. folder: the run's, for trackers that write files."""

    name: str
    folder: Path


class Tracker(ABC):
    """Carries a search to an experiment tracker. All calls come from one thread, one after the other, and may take their
    time; one that raises ends the tracking, not the search."""

    name: ClassVar[str]
    """What people type after --track."""
    package: ClassVar[str]
    """The module that it needs."""
    install: ClassVar[str]
    """What pip calls it."""

    @abstractmethod
    def open(self, search: TrackedSearch) -> None:
        """A search begins, or goes on."""

    @abstractmethod
    def start(self, trial: int, title: str, facts: Mapping[str, Fact]) -> None:
        """A training begins: its setup, choices, seed and role."""

    @abstractmethod
    def log(self, trial: int, step: int, values: Mapping[str, float]) -> None:
        """A point of a training's learning curve."""

    @abstractmethod
    def end(self, trial: int, succeeded: bool, figures: Mapping[str, float]) -> None:
        """A training has been measured, or has failed and has no figures."""

    @abstractmethod
    def finish(self, files: Sequence[Path]) -> None:
        """The search has ended: its report."""

    @abstractmethod
    def close(self) -> None:
        """Nothing comes any more; what is not delivered yet has to be now. Trainings that have not ended were interrupted."""
