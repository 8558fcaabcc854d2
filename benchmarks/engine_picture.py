"""Draws docs/engine.png from results/engine.json: where the time of twenty setups goes, one script each and in the engine.

python benchmarks/engine_picture.py
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from machine import RESULTS

STAGES = {
    "imports": ("importing libraries", "#9aa5b1"),
    "loading": ("loading, tokenizing, starting", "#c9b458"),
    "training": ("training steps", "#2f6fab"),
    "evaluating": ("predicting dev, saving", "#6aa84f"),
    "measuring": ("measuring memory and latency", "#b36a9e"),
}
OF_PHASE = {
    "startup": "loading",
    "train": "training",
    "evaluate": "evaluating",
    "checkpoint": "evaluating",
    "measure": "measuring",
}
PICTURE = Path(__file__).parent.parent / "docs" / "engine.png"


def main() -> None:
    sections = json.loads((RESULTS / "engine.json").read_text())["sections"]
    scripts, engine = Counter[str](), Counter[str]()
    for row in sections["mix"]["setups"]:
        for stage in ("imports", "loading", "training", "evaluating"):
            scripts[stage] += row["script"][stage]
        for phase, seconds in row["engine"]["phases"].items():
            engine[OF_PHASE[phase]] += seconds
    rates = sections["flops"]
    figure, axes = plt.subplots(figsize=(9, 2.9), layout="constrained")
    names = ("one Trainer script a setup", "the engine's workers")
    for y, stages in enumerate((scripts, engine)):
        left = 0.0
        for stage, (label, colour) in STAGES.items():
            axes.barh(y, stages[stage], left=left, color=colour, label=label if y == 0 else None)
            if stages[stage] > 0.06 * sum(scripts.values()):
                axes.text(left + stages[stage] / 2, y, f"{stages[stage]:.0f}", ha="center", va="center", color="white")
            left += stages[stage]
        axes.text(left, y, f" {left:.0f} s", va="center", weight="bold")
    axes.set_yticks(range(2), names)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.12 * sum(scripts.values()))
    axes.spines[["top", "right"]].set_visible(False)
    peak = rates["matmul_peak"]
    used = ", ".join(f"{name} {rates[name] / peak:.0%}" for name in ("full", "lora", "frozen"))
    axes.set_xlabel(f"seconds of device time, {len(sections['mix']['setups'])} setups over all methods\n"
                    f"training steps use of the measured matmul peak ({peak / 1e9:.0f} GFLOP/s): {used}")  # fmt: skip
    axes.legend(loc="upper center", bbox_to_anchor=(0.45, 1.22), ncols=3, frameon=False, fontsize=8)
    figure.savefig(PICTURE, dpi=130)
    print(f"Wrote {PICTURE}")


if __name__ == "__main__":
    main()
