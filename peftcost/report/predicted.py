"""Predicted beside measured: how far the cost model could be trusted in this search."""

from __future__ import annotations

from collections.abc import Callable

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from peftcost.core.budget import format_seconds
from peftcost.core.memory import format_bytes
from peftcost.report.svg import INK, LINE, PAPER, SOFT, svg_of
from peftcost.report.view import View

INCHES = (7.2, 3.2)
Pair = tuple[float, float]


def predicted_svg(view: View) -> Markup:
    """Two panels, memory and cost; a point a setup, (measured, predicted); empty without predictions."""
    memory = [(r.memory.known, r.predicted_memory.known) for r in view.measured if r.predicted_memory.value]
    cost = [(r.cost.known, r.predicted_cost.known) for r in view.measured if r.predicted_cost.value]
    if not memory or not cost:
        return Markup()
    figure = Figure(figsize=INCHES, dpi=160, layout="constrained", facecolor=PAPER)
    left, right = figure.subplots(1, 2)
    panel(left, "peak memory", memory, format_bytes)
    panel(right, view.cost_word, cost, format_seconds)
    return svg_of(figure, "predicted", "Predicted against measured memory and cost; the table has the numbers.")


def panel(axes: Axes, name: str, pairs: list[Pair], spell: Callable[[float], str]) -> None:
    """Equal axes from zero; on the line, the prediction was right."""
    most = 1.1 * max(max(pair) for pair in pairs)
    axes.set_facecolor("none")
    axes.plot([0, most], [0, most], color=SOFT, linewidth=1, zorder=1)
    measured, predicted = zip(*pairs, strict=True)
    axes.scatter(measured, predicted, s=28, color="#0072B2", edgecolors=PAPER, linewidths=0.7, zorder=3)
    axes.set_xlim(0, most)
    axes.set_ylim(0, most)
    axes.set_aspect("equal")
    axes.set_xlabel(f"{name}, measured", color=SOFT)
    axes.set_ylabel("predicted", color=SOFT)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(4))
        axis.set_major_formatter(FuncFormatter(lambda value, _: spell(value) if value else "0"))
        axis.set_minor_formatter(NullFormatter())
    axes.tick_params(colors=INK, labelsize=8)
    axes.grid(color=LINE, linewidth=0.7)
    axes.set_axisbelow(True)
    for side in axes.spines.values():
        side.set_color(LINE)
