"""Draws docs/search_advice.png from results/search_efficiency-*.json: how much of the advice is confirmed, by what was given,
and what lowering the confidence saves and risks.

python benchmarks/search_picture.py
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from machine import RESULTS
from matplotlib.axes import Axes

COLOURS = {"tweets": "#2f6fab", "reviews": "#d08a2e", "metamath": "#6aa84f"}
GIVEN = {"dev_size": "dev rows", "margin": "margin", "most_seeds": "seeds of a confirmation", "confidence": "--confidence"}
SHARES = {"0.25": "-", "0.1": ":"}
PICTURE = Path(__file__).parent.parent / "docs" / "search_advice.png"


def main() -> None:
    figure, axes = plt.subplots(2, 3, figsize=(10, 5.6), layout="constrained")
    panels = list(axes.flat)
    for axis, (name, label) in zip(panels, GIVEN.items(), strict=False):
        curves(axis, name, "confirmed", SHARES)
        axis.set(xlabel=label, ylabel="share that is confirmed", ylim=(-0.03, 1.03))
    panels[0].set_xscale("log")
    panels[2].set_xticks([int(seeds) for seeds in advice_of("tweets")["0.25"]["most_seeds"]])
    curves(panels[4], "confidence", "all_wrong_of_table", {"0.25": "-"})
    panels[4].set(
        xlabel="--confidence", ylabel="share worse than the table's best\nby more than the margin", ylim=(-0.03, 1.03)
    )
    curves(panels[5], "confidence", "all_cost_over_cheapest_of_table", {"0.25": "-"})
    panels[5].set(
        xlabel="--confidence", ylabel="cost, of that of the table's cheapest\nwhich is as good (median)", ylim=(0, None)
    )
    for axis in panels:
        axis.spines[["top", "right"]].set_visible(False)
    handles = [plt.Line2D([], [], color=colour, label=task) for task, colour in COLOURS.items()]
    handles += [
        plt.Line2D([], [], color="grey", ls=style, label=f"at {float(s):.0%} of the cost") for s, style in SHARES.items()
    ]
    figure.legend(handles=handles, ncols=5, loc="outside upper center", frameon=False)
    figure.savefig(PICTURE, dpi=130)


def curves(axis: Axes, given: str, shown: str, shares: dict[str, str]) -> None:
    """What is shown, by what was given, a line a table and budget."""
    for task, colour in COLOURS.items():
        advice = advice_of(task)
        for share, style in shares.items():
            by_value: dict[str, Any] = advice[share][given]
            axis.plot(
                [float(v) for v in by_value], [s[shown] for s in by_value.values()], style, marker="o", ms=3, color=colour
            )


@cache
def advice_of(task: str) -> dict[str, Any]:
    """The recorded section."""
    recorded: dict[str, Any] = json.loads((RESULTS / f"search_efficiency-{task}.json").read_text())["sections"]["advice"]
    return recorded


if __name__ == "__main__":
    main()
