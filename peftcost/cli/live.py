"""The live view of a search, on stderr: a panel on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from dataclasses import dataclass
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from peftcost.core.budget import spell_seconds
from peftcost.core.memory import spell_bytes

REFRESH_SECONDS = 0.25


@dataclass(frozen=True)
class Running:
    """A trial that a worker holds."""

    device: str
    setup_id: str
    method: str
    role: str
    seed: int
    step: int
    total_steps: int
    train_loss: float
    phase: str


@dataclass(frozen=True)
class FrontRow:
    """One of the best trade-offs so far."""

    id: str
    quality: float
    gpu_seconds: float
    peak_bytes: int
    seeds: int


@dataclass(frozen=True)
class ProgressState:
    """All that the view shows. log: what has happened so far, one line each."""

    spent_gpu_seconds: float
    limit_gpu_seconds: float
    eta_seconds: float
    phase: str
    running: list[Running]
    front: list[FrontRow]
    measured: int
    failed: int
    log: list[str]


class LiveView:
    """Use as a context manager, and call `update` as often as you like."""

    def __init__(self, console: Console, quiet: bool, plain: bool) -> None:
        self.console, self.quiet, self.plain = console, quiet, plain
        self._live = None if quiet or plain else Live(console=console, refresh_per_second=4, transient=True)
        self._shown_at = 0.0
        self._logged = 0

    def __enter__(self) -> LiveView:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: object, trace: TracebackType | None) -> None:
        if self._live is not None:
            self._live.stop()

    def update(self, state: ProgressState) -> None:
        """Show this state, unless the last one was shown just now."""
        if self.quiet:
            return
        if self.plain:
            self._print_news(state)
        elif self._live is not None and time.monotonic() - self._shown_at > REFRESH_SECONDS:
            self._shown_at = time.monotonic()
            self._live.update(panel(state))

    def _print_news(self, state: ProgressState) -> None:
        for line in state.log[self._logged :]:
            spent = f"{state.spent_gpu_seconds:.0f}/{state.limit_gpu_seconds:.0f} gpu-s"
            self.console.print(f"{time.strftime('%H:%M:%S')} [{spent}] {line}", markup=False, highlight=False)
        self._logged = len(state.log)


def panel(state: ProgressState) -> Panel:
    """The whole view. Texts of users are shown as they are, never read as markup."""
    parts: list[ProgressBar | Text | Table] = []
    if state.limit_gpu_seconds < float("inf"):
        left = max(0.0, state.limit_gpu_seconds - state.spent_gpu_seconds)
        parts.append(
            Text(
                f"budget: {spell_seconds(state.spent_gpu_seconds)} spent, {spell_seconds(left)} left; "
                f"at most {spell_seconds(state.eta_seconds)} to go"
            )
        )
        parts.append(ProgressBar(total=state.limit_gpu_seconds, completed=state.spent_gpu_seconds, width=70))
    parts += [Text(_running_line(trial), style="cyan") for trial in state.running]
    parts += [Text(line, style="dim") for line in state.log[-2:]]
    if state.front:
        parts.append(front_table(state.front))
    title = f"{state.phase}: {state.measured} measured" + (f", {state.failed} failed" if state.failed else "")
    return Panel(Group(*parts), title=Text(title), border_style="blue")


def _running_line(trial: Running) -> str:
    steps = f"step {trial.step}/{trial.total_steps}" if trial.total_steps else "starting"
    loss = f", loss {trial.train_loss:.3f}" if trial.step else ""
    return f"device {trial.device}: {trial.setup_id} ({trial.role}, seed {trial.seed}) {trial.phase}, {steps}{loss}"


def front_table(rows: list[FrontRow]) -> Table:
    """The best trade-offs so far."""
    table = Table(title="best trade-offs so far", title_justify="left", box=None, pad_edge=False)
    for name, justify in (("setup", "left"), ("quality", "right"), ("cost", "right"), ("memory", "right")):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    table.add_column("seeds", justify="right")
    for row in rows:
        table.add_row(
            Text(row.id),
            f"{row.quality:.3f}",
            spell_seconds(row.gpu_seconds),
            spell_bytes(row.peak_bytes),
            str(row.seeds),
        )
    return table
