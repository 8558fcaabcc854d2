"""The live view of a search, on stderr: a panel on a terminal, plain lines elsewhere."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from peftcost.core.budget import format_seconds
from peftcost.core.memory import format_bytes
from peftcost.core.one_line import one_line
from peftcost.observers.progress import FrontRow, LogLine, ProgressState, Running

REFRESHES_PER_SECOND = 4
SILENCE_SECONDS = 60.0
"""After so long without news, plain output tells that work goes on."""


class LiveView:
    """Use as a context manager, and call `update` as often as you like.

    plain: lines for what is noteworthy, instead of a panel. quiet: nothing at all. clock: seconds, for tests.
    """

    def __init__(self, console: Console, quiet: bool, plain: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self.console, self.quiet, self.plain = console, quiet, plain
        self._clock = clock
        self._state: ProgressState | None = None
        self._logged = 0
        self._phase = ""
        self._spoke_at = clock()
        self._live: Live | None = None

    def __enter__(self) -> LiveView:
        if not self.quiet and not self.plain:
            self._live = Live(
                console=self.console,
                get_renderable=self._panel,
                refresh_per_second=REFRESHES_PER_SECOND,
                transient=True,
            )
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: object, trace: TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        """Take the panel away; harmless if it is not there."""
        if self._live is not None:
            self._live.stop()

    def update(self, state: ProgressState) -> None:
        """Show this state: at the panel's next refresh, or at once when it brings news for plain output."""
        self._state = state
        if self.plain and not self.quiet:
            self._print_news(state)

    def _panel(self) -> RenderableType:
        return panel(self._state) if self._state is not None else Text("starting", style="dim")

    def _print_news(self, state: ProgressState) -> None:
        """New lines of the log and a new phase; in a long silence, what runs."""
        now, news = datetime.now(UTC), state.log[self._logged :]
        if state.phase != self._phase:
            news = [*news, LogLine(now, state.spent_gpu_seconds, f"phase: {state.phase}")]
        if not news and self._clock() - self._spoke_at >= SILENCE_SECONDS:
            news = [LogLine(now, state.spent_gpu_seconds, running_text(trial)) for trial in state.running]
        if not news:
            return
        self._logged, self._phase, self._spoke_at = len(state.log), state.phase, self._clock()
        for line in news:
            spent = spent_text(line.spent_gpu_seconds, state.limit_gpu_seconds)
            text = f"{line.at.astimezone():%H:%M:%S} [{spent}] {one_line(line.text)}"
            self.console.print(text, markup=False, highlight=False, emoji=False, soft_wrap=True)


def spent_text(spent_gpu_seconds: float, limit_gpu_seconds: float) -> str:
    limit = "" if math.isinf(limit_gpu_seconds) else f"/{limit_gpu_seconds:.0f}"
    return f"{spent_gpu_seconds:.0f}{limit} gpu-s"


def panel(state: ProgressState) -> Panel:
    """The whole view. Texts of users are shown as they are, never read as markup."""
    parts: list[RenderableType] = [*budget_bar(state)]
    if state.running:
        parts.append(running_table(state.running))
    parts += [Text(one_line(line.text), style="dim", no_wrap=True, overflow="ellipsis") for line in state.log[-2:]]
    if state.front:
        parts += [Text(), front_table(state.front)]
    title = f"{state.phase}: {state.measured} measured" + (f", {state.failed} failed" if state.failed else "")
    return Panel(Group(*parts), title=Text(one_line(title)), title_align="left", border_style="blue")


def budget_bar(state: ProgressState) -> list[RenderableType]:
    """What is spent and left, in words and as a bar."""
    spent = f"budget: {format_seconds(state.spent_gpu_seconds)} spent"
    if math.isinf(state.limit_gpu_seconds):
        return [Text(spent)]
    left = max(0.0, state.limit_gpu_seconds - state.spent_gpu_seconds)
    words = f"{spent}, {format_seconds(left)} left; at most {format_seconds(state.eta_seconds)} to go"
    return [Text(words), ProgressBar(total=state.limit_gpu_seconds, completed=state.spent_gpu_seconds), Text()]


def running_table(trials: list[Running]) -> Table:
    """What each device works on."""
    table = Table.grid(padding=(0, 2))
    for trial in trials:
        table.add_row(
            Text(f"device {trial.device}", style="dim"),
            Text(one_line(trial.words), style="cyan"),
            Text(f"{trial.role}, seed {trial.seed}"),
            Text(steps_text(trial)),
            Text(figures_text(trial)),
        )
    return table


def steps_text(trial: Running) -> str:
    return f"{trial.phase} {trial.step}/{trial.total_steps}" if trial.total_steps else trial.phase


def figures_text(trial: Running) -> str:
    """Loss and quality, as far as they are known."""
    loss = f"loss {trial.train_loss:.3f}" if trial.step and not math.isnan(trial.train_loss) else ""
    quality = f"quality {trial.quality:.3f}" if trial.quality is not None else ""
    return ", ".join(text for text in (loss, quality) if text)


def running_text(trial: Running) -> str:
    figures = figures_text(trial)
    told = f"still running: {trial.words}: {steps_text(trial)}" + (f", {figures}" if figures else "")
    return f"{told} [{trial.setup_id}]"


def front_table(rows: list[FrontRow]) -> Table:
    """The best trade-offs so far, cheapest first."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("best trade-offs so far")
    for name in ("quality", "cost", "memory", "seeds"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in sorted(rows, key=lambda row: row.gpu_seconds):
        cost, memory = format_seconds(row.gpu_seconds), format_bytes(row.peak_bytes)
        table.add_row(Text(one_line(row.words)), f"{row.quality:.3f}", cost, memory, str(row.seeds))
    return table
