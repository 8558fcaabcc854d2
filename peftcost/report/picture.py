"""The front as a picture for Markdown and trackers: quality against cost."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from peftcost.core.budget import format_seconds
from peftcost.core.memory import format_bytes
from peftcost.report.labels import Box, nearest, place
from peftcost.report.marks import mark_of, matplotlib_marker
from peftcost.report.view import SetupRow, View

INCHES = (10.0, 5.6)
"""At 160 dots per inch 1600 by 896 pixels."""

INK, SOFT, LINE, PAPER, BAND = "#1b1f24", "#5b6571", "#d8dee5", "#fefefe", "#e7f3ee"

MOST_BARS = 150
"""Setups; of more, those that are no trade-offs are drawn without their intervals, and labels may lie on them."""

MOST_TICKS = 9
"""Of the cost axis."""

RING = 9
"""Points by which the ring around the recommended setup is wider than its mark."""

NICE_SECONDS = (
    *(0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 3, 5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 300, 600, 900, 1200, 1800),
    *(3600 * hours for hours in (1, 1.5, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1000)),
)


def draw(view: View) -> Figure:
    """Cost on a log axis against quality with 95 % intervals; the area of a mark is memory; the front is joined."""
    figure = Figure(figsize=INCHES, dpi=160, layout="constrained", facecolor=PAPER)
    axes = figure.add_subplot(facecolor="none")
    rows = [row for row in view.measured if row.quality.value is not None and row.cost.known > 0]
    if not rows:
        axes.text(0.5, 0.5, "nothing was measured", ha="center", color=SOFT, transform=axes.transAxes)
        axes.set_axis_off()
        return figure
    _dress(axes, view, rows)
    axes.set_title(view.title, loc="left", fontsize=12, color=INK, fontweight="bold", pad=12, parse_math=False)
    if view.best_quality is not None:
        axes.axhspan(view.best_quality - view.margin, view.best_quality, color=BAND, linewidth=0, zorder=0)
        name, left = f"within {view.margin:g} of the best", axes.get_yaxis_transform()
        axes.text(0.006, view.best_quality, name, transform=left, fontsize=8.5, color=SOFT, va="bottom", zorder=5)
    _join_front(axes, rows)
    most = max(row.memory.value or 0 for row in rows) or 1
    widths = {row.id: (30 + 230 * (row.memory.value or 0) / most) ** 0.5 for row in rows}
    for method in dict.fromkeys(row.method for row in rows):
        for strong in (False, True):
            own = [row for row in rows if row.method == method and (row.on_front or row.recommended) == strong]
            _mark(axes, own, method, strong, widths, bars=strong or len(rows) <= MOST_BARS)
    _ring(axes, rows, widths)
    _label(figure, axes, rows, widths)
    return figure


def _mark(axes: Axes, rows: Sequence[SetupRow], method: str, strong: bool, widths: Mapping[str, float], bars: bool) -> None:
    """Setups of one method: marks, and intervals."""
    mark, light = mark_of(method), 1.0 if strong else 0.38
    told = [row for row in rows if row.low.value is not None and row.high.value is not None]
    if bars and told:
        costs, lows, highs = zip(*((row.cost.known, row.low.known, row.high.known) for row in told), strict=True)
        axes.vlines(costs, lows, highs, color=mark.light, alpha=0.7 * light, linewidth=1.3, zorder=2)
    axes.scatter(
        [row.cost.known for row in rows],
        [row.quality.known for row in rows],
        s=[widths[row.id] ** 2 for row in rows],
        color=mark.light,
        marker=matplotlib_marker(mark.shape),
        alpha=light,
        edgecolors=PAPER,
        linewidths=0.8,
        zorder=3,
    )


def _ring(axes: Axes, rows: Sequence[SetupRow], widths: Mapping[str, float]) -> None:
    """Around the recommended setup."""
    for row in rows:
        if row.recommended:
            size = (widths[row.id] + RING) ** 2
            axes.scatter(
                row.cost.known, row.quality.known, s=size, facecolors="none", edgecolors=INK, linewidths=1.8, zorder=4
            )


def _join_front(axes: Axes, rows: Sequence[SetupRow]) -> None:
    """A step line: the best quality on the front at each cost (memory is the third side, told by the marks' area)."""
    steps = front_steps(rows)
    cost, quality = [r.cost.known for r in steps], [r.quality.known for r in steps]
    axes.step(cost, quality, where="post", color=SOFT, linewidth=1, zorder=1)


def front_steps(rows: Sequence[SetupRow]) -> list[SetupRow]:
    """Those of the front that raise the best quality so far, cheapest first."""
    steps: list[SetupRow] = []
    for row in sorted((r for r in rows if r.on_front), key=lambda r: r.cost.known):
        if not steps or row.quality.known > steps[-1].quality.known:
            steps.append(row)
    return steps


def _dress(axes: Axes, view: View, rows: Sequence[SetupRow]) -> None:
    """Axes, ticks and limits."""
    costs = [row.cost.known for row in rows]
    low, high = min(costs) / 1.35, max(costs) * 1.45
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    axes.xaxis.set_major_locator(FixedLocator(cost_ticks(low, high, MOST_TICKS)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: format_seconds(value)))
    axes.set_xlabel(f"{view.cost_word} of one training (log scale)", color=SOFT)
    axes.set_ylabel(f"{view.metric} on dev, 95 % interval", color=SOFT, parse_math=False)
    axes.grid(color=LINE, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(colors=SOFT, length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(LINE)


def cost_ticks(low: float, high: float, most: int) -> list[float]:
    """At most so many round times between two, evenly spread on a log axis; at least the one nearest the middle."""
    inside = [s for s in NICE_SECONDS if low <= s <= high]
    gap = (high / low) ** (1 / most)
    kept: list[float] = []
    for s in inside:
        if not kept or s / kept[-1] >= gap:
            kept.append(s)
    return kept if len(kept) > 1 else [low * (high / low) ** 0.2, (low * high) ** 0.5, low * (high / low) ** 0.8]


def _label(
    figure: Figure,
    axes: Axes,
    rows: Sequence[SetupRow],
    widths: Mapping[str, float],
) -> None:
    """Names beside their points. Who matters most is placed first: the recommended one, then by quality.

    widths: of each setup's mark, in points.
    """
    named = sorted((r for r in rows if r.label), key=lambda r: (not r.recommended, -r.quality.known))
    canvas = FigureCanvasAgg(figure)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    renderer = canvas.get_renderer()

    def at(row: SetupRow, quality: float | None = None) -> tuple[float, float]:
        x, y = axes.transData.transform((row.cost.known, row.quality.known if quality is None else quality))
        return float(x), float(y)

    def reach(row: SetupRow) -> float:
        """From the middle of a mark to its rim, or to that of its ring, in pixels."""
        return (widths[row.id] + RING * row.recommended) / 2 * figure.dpi / 72

    fixed = [text.get_window_extent(renderer) for text in axes.texts]
    texts = [
        axes.text(
            0,
            0,
            row.label,
            fontsize=9.5,
            color=INK if row.on_front or row.recommended else SOFT,
            fontweight="bold" if row.recommended else "normal",
            ha="left",
            va="bottom",
            zorder=5,
            parse_math=False,
        )
        for row in named
    ]
    sizes = [(box.width, box.height) for box in (text.get_window_extent(renderer) for text in texts)]
    taken: list[Box] = [(box.x0, box.y0, box.x1, box.y1) for box in fixed]
    for row in rows if len(rows) <= MOST_BARS else [row for row in rows if row.on_front or row.recommended]:
        (x, y), r = at(row), reach(row)
        taken.append((x - r, y - r, x + r, y + r))
        if row.low.value is not None and row.high.value is not None:
            (x, bottom), (_, top) = at(row, row.low.value), at(row, row.high.value)
            taken.append((x - 4, bottom, x + 4, top))
    steps = [at(row) for row in front_steps(rows)]
    for (x, y), (next_x, next_y) in pairwise(steps):
        taken += [(x, y - 4, next_x, y + 4), (next_x - 4, y, next_x + 4, next_y)]
    frame = axes.get_window_extent(renderer)
    inside = (frame.x0, frame.y0, frame.x1, frame.y1)
    boxes = place([at(row) for row in named], sizes, taken, inside, gaps=[reach(row) + 9 for row in named])
    for row, text, box in zip(named, texts, boxes, strict=True):
        text.set_position(tuple(axes.transData.inverted().transform(box[:2])))
        (x, y), near = at(row), nearest(box, at(row))
        away = math.dist(near, (x, y))
        if away > reach(row) + 16:
            rim = x + (near[0] - x) * reach(row) / away, y + (near[1] - y) * reach(row) / away
            ends = axes.transData.inverted().transform([rim, near])
            axes.plot(ends[:, 0], ends[:, 1], color=SOFT, linewidth=0.7, zorder=1.5)


def png_bytes(view: View) -> bytes:
    """front.png, 1600 pixels wide."""
    buffer = io.BytesIO()
    FigureCanvasAgg(draw(view)).print_png(buffer)
    return buffer.getvalue()


def memory_range(view: View) -> str:
    """What the areas of the marks mean."""
    sizes = [row.memory.value for row in view.measured if row.memory.value is not None]
    return f"{format_bytes(min(sizes))} to {format_bytes(max(sizes))}" if sizes else ""
