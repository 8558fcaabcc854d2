"""How much of the budget a search has spent, as a bar."""

from __future__ import annotations

from collections.abc import Sequence

from peftcost.observers.log import SearchLog
from peftcost.observers.progress import ProgressState, SearchProgress
from peftcost.progress import bar
from peftcost.runner.observer import Observer


class SearchBar(SearchProgress):
    """A bar on the terminal or in the notebook; nothing where output goes to a file."""

    name = "progress bar"

    def __init__(self) -> None:
        super().__init__()
        self._bar = bar(quiet=False, total=0, bar_format="{desc}{percentage:3.0f}%|{bar}| {elapsed}{postfix}")

    def update(self, progress: ProgressState) -> None:
        self._bar.total = round(progress.limit_gpu_seconds)
        self._bar.n = round(progress.spent_gpu_seconds)
        best = max((row.quality for row in progress.front), default=None)
        told = f"{progress.measured} measured" + ("" if best is None else f", best {best:.3f}")
        self._bar.set_description_str(f"{progress.phase} ", refresh=False)
        self._bar.set_postfix_str(told)

    def close(self) -> None:
        self._bar.close()


def watched(observers: Sequence[Observer], quiet: bool) -> list[Observer]:
    """The observers, the log, and a bar unless quiet."""
    return [*observers, SearchLog(), *([] if quiet else [SearchBar()])]
