"""The front as a picture: quality against cost."""

from __future__ import annotations

import io
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from peftcost.core.budget import spell_seconds
from peftcost.core.memory import spell_bytes

COLOURS = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#8C564B",
    "#555555",
    "#7A5195",
    "#003F5C",
    "#BC5090",
)
"""Okabe and Ito's, which colour-blind readers can tell apart, then some more."""


def draw(result: dict[str, Any]) -> Figure:
    """Cost on a log axis against quality with 95 % intervals; size of a mark is memory; the front is joined."""
    figure = Figure(figsize=(10, 5.6), dpi=160, layout="constrained")
    axes = figure.add_subplot()
    measured = [entry for entry in result["setups"] if entry["status"] == "measured"]
    if not measured:
        axes.text(0.5, 0.5, "nothing was measured", ha="center", transform=axes.transAxes)
        return figure
    methods = list(dict.fromkeys(entry["method"] for entry in result["setups"]))
    colour = {method: COLOURS[i % len(COLOURS)] for i, method in enumerate(methods)}
    most = max(entry["peak_bytes"] for entry in measured)
    advice = result["recommendation"]
    for entry in measured:
        on_front = entry["id"] in result["front"]
        low, high = entry["quality_interval"]
        shade = 1.0 if on_front else 0.35
        axes.errorbar(
            entry["gpu_seconds"],
            entry["quality"],
            yerr=[[max(0.0, entry["quality"] - low)], [max(0.0, high - entry["quality"])]],
            color=colour[entry["method"]],
            alpha=0.5 * shade,
            linewidth=1.2,
            capsize=2,
        )
        size = 40 + 220 * entry["peak_bytes"] / most
        axes.scatter(
            entry["gpu_seconds"],
            entry["quality"],
            s=size,
            color=colour[entry["method"]],
            alpha=shade,
            zorder=3,
        )
    _join_front(axes, [e for e in measured if e["id"] in result["front"]])
    _label(axes, measured)
    if advice:
        axes.scatter(
            advice["gpu_seconds"],
            advice["quality"],
            s=520,
            facecolors="none",
            edgecolors="#111111",
            linewidths=2,
            zorder=4,
        )
    best = max(entry["quality"] for entry in measured)
    axes.axhspan(best - result["task"]["margin"], best, color="#009E73", alpha=0.10, zorder=0)
    _dress(axes, result)
    return figure


def _join_front(axes: Axes, front: list[dict[str, Any]]) -> None:
    """A step line through the front of quality and cost alone (memory is the third side, told by size)."""
    steps: list[dict[str, Any]] = []
    for entry in sorted(front, key=lambda e: e["gpu_seconds"]):
        if not steps or entry["quality"] > steps[-1]["quality"]:
            steps.append(entry)
    cost, quality = [e["gpu_seconds"] for e in steps], [e["quality"] for e in steps]
    axes.step(cost, quality, where="post", color="#888888", linewidth=1, zorder=1)


def _label(axes: Axes, measured: list[dict[str, Any]]) -> None:
    """The best setup of each method carries the method's name; labels that would meet are moved apart."""
    best: dict[str, dict[str, Any]] = {}
    for entry in measured:
        if entry["method"] not in best or entry["quality"] > best[entry["method"]]["quality"]:
            best[entry["method"]] = entry
    span = max(e["quality_interval"][1] for e in measured) - min(e["quality_interval"][0] for e in measured) or 1.0
    placed: list[tuple[float, float]] = []
    for entry in sorted(best.values(), key=lambda e: -e["quality"]):
        x, y = entry["gpu_seconds"], entry["quality"]
        offset = 10
        while any(abs(y + offset / 300 * span - other) < 0.055 * span and 0.6 < x / ox < 1.7 for ox, other in placed):
            offset -= 9
        placed.append((x, y + offset / 300 * span))
        text = f"{entry['method']} {entry['quality']:.3f}"
        axes.annotate(text, (x, y), xytext=(13, offset), textcoords="offset points", fontsize=9)


def _dress(axes: Axes, result: dict[str, Any]) -> None:
    axes.set_xscale("log")
    costs = [e["gpu_seconds"] for e in result["setups"] if e["status"] == "measured"]
    axes.set_xlim(min(costs) / 1.4, max(costs) * 1.9)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: spell_seconds(value) if value > 0 else ""))
    axes.xaxis.set_minor_formatter(FuncFormatter(lambda value, _: ""))
    memory = [e["peak_bytes"] for e in result["setups"] if e["status"] == "measured"]
    device = "CPU" if result["devices"]["kind"] == "cpu" else "GPU"
    axes.set_xlabel(
        f"{device} time of one training (log scale); size of a mark: memory, {spell_bytes(min(memory))} to "
        f"{spell_bytes(max(memory))}"
    )
    axes.set_ylabel(f"{result['task']['metric']} on dev, 95 % interval")
    axes.set_title(
        "Quality against cost. Ringed: recommended. Band: within the margin of the best.",
        loc="left",
        fontsize=10,
    )
    axes.grid(alpha=0.2)
    axes.spines[["top", "right"]].set_visible(False)


def png_bytes(figure: Figure) -> bytes:
    """The picture as PNG, 1600 pixels wide."""
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)
    return buffer.getvalue()


def svg_text(figure: Figure) -> str:
    """The picture as an SVG element to stand in a page."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True)
    text = buffer.getvalue()
    return text[text.index("<svg") :]
