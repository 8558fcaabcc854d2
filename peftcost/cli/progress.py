"""From the search's state to what the live view shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console

from peftcost.cli.live import FrontRow, LiveView, ProgressState, Running
from peftcost.core.budget import format_seconds, parse_budget
from peftcost.core.front import front
from peftcost.cost.device import choose_devices, torch_is_cpu_build, visible_gpus
from peftcost.searcher.state import SearchState


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
def watching(quiet: bool) -> Iterator[Callable[[SearchState], None]]:
    """A function to call with the state, which shows it on stderr while the block runs."""
    console = Console(stderr=True)
    with LiveView(console, quiet=quiet, plain=not console.is_terminal) as view:
        yield lambda state: view.update(progress_of(state))


def progress_of(state: SearchState) -> ProgressState:
    """What the live view needs of the state."""
    spent = state.ledger.spent(state.last_t)
    measured = [t for t in state.measured() if t.measurement is not None]
    points = {
        t.setup.id: (t.measurement.quality, t.measurement.gpu_seconds, float(t.measurement.peak_bytes))
        for t in measured
        if t.measurement is not None
    }
    return ProgressState(
        spent_gpu_seconds=spent,
        limit_gpu_seconds=state.limit_gpu_seconds,
        eta_seconds=max(0.0, state.limit_gpu_seconds - spent) / max(1, len(state.held)),
        phase=state.phase,
        running=[
            Running(
                device=str(t.slot),
                setup_id=t.setup.id,
                method=t.setup.arm,
                role=t.role,
                seed=t.seed,
                step=t.step,
                total_steps=t.total_steps,
                train_loss=t.train_loss,
                phase=t.phase,
            )
            for t in state.running()
        ],
        front=[
            FrontRow(
                id=setup_id,
                quality=points[setup_id][0],
                gpu_seconds=points[setup_id][1],
                peak_bytes=int(points[setup_id][2]),
                seeds=sum(t.setup.id == setup_id for t in measured),
            )
            for setup_id in front(points)
        ],
        measured=len(measured),
        failed=sum(t.status == "failed" for t in state.trials.values()),
        log=list(state.log),
    )
