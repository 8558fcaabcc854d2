"""The live view as an observer of a search, and what is said before."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

from peftcost.cli.live import LiveView
from peftcost.core.budget import format_seconds, parse_budget
from peftcost.cost.device import choose_devices, torch_is_cpu_build, visible_gpus
from peftcost.observers.progress import ProgressState, SearchProgress


def announce(budget: str, price: float | None, devices: str | None, quiet: bool) -> None:
    """The first line: what the hours are counted on, and how long the budget is on the clock."""
    chosen = choose_devices(devices)
    if quiet:
        return
    limit = parse_budget(budget, price).limit_gpu_seconds(len(chosen))
    first = chosen[0]
    what = f"{len(chosen)} x {first.name}" if len(chosen) > 1 else first.name
    counted = "device" if first.kind == "cpu" else "GPU"
    console = Console(stderr=True)
    console.print(
        f"On {what} ({first.kind}, {first.threads} threads): {budget} is {format_seconds(limit)} of {counted} time, "
        f"at most {format_seconds(limit / len(chosen))} on the clock.",
        markup=False,
        highlight=False,
    )
    if first.kind == "cpu" and torch_is_cpu_build() and visible_gpus():
        console.print(
            "An NVIDIA GPU is here, but this torch is a CPU build and cannot use it; see the README, 'On CUDA'.",
            style="yellow",
            markup=False,
        )


@contextmanager
def watching(quiet: bool) -> Iterator[TerminalView]:
    """An observer that shows a search on stderr while the block runs."""
    console = Console(stderr=True)
    with LiveView(console, quiet=quiet, plain=not console.is_terminal) as view:
        yield TerminalView(view)


class TerminalView(SearchProgress):
    """Shows how far a search is."""

    name = "live view"

    def __init__(self, view: LiveView) -> None:
        super().__init__()
        self.view = view

    def update(self, progress: ProgressState) -> None:
        self.view.update(progress)

    def close(self) -> None:
        self.view.stop()
