"""The tables of docs/gpu.md, from a card's JSON: milliseconds a step, and how well memory is predicted.

python -m benchmarks.gpu.table [benchmarks/results/gpu/CARD.json]     Prints Markdown.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

DEFAULT = Path("benchmarks/results/gpu/NVIDIA-H200.json")
WAYS = {
    "plain lora": "PEFT, LoRA",
    "plain full": "transformers, full",
    "engine lora eager": "engine, LoRA, eager",
    "engine lora captured": "engine, LoRA, captured",
    "engine full captured": "engine, full, captured",
    "engine nf4-lora captured": "engine, NF4 LoRA, captured",
    "8 packed eager": "8 LoRAs at once, eager",
    "8 packed captured": "8 LoRAs at once, captured",
}


def results(file: Path, kind: str) -> dict[str, Any]:
    """Of all parts of a kind together."""
    parts = json.loads(file.read_text(encoding="utf-8"))["parts"]
    own = [part["result"] for name, part in parts.items() if name.partition(" ")[0] == kind and "result" in part]
    return {key: found for result in own for key, found in result.get("rows", result).items()}


def table(file: Path) -> str:
    """Milliseconds a step, a column a size."""
    steps = results(file, "steps")
    lines = ["| ms a step | " + " | ".join(steps) + " |", "|" + "---|" * (len(steps) + 1)]
    for way, words in WAYS.items():
        cells = [f"{found[way]['ms']:.1f}" if found.get(way, {}).get("ms") else "" for found in steps.values()]
        lines.append(f"| {words} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def memory(file: Path) -> str:
    """By how much `peak_bytes` is mistaken: in the median, and at the 95th percentile."""
    errors = [abs(row["ratio"] - 1) for row in results(file, "memory").values()]
    median, high = np.quantile(errors, [0.5, 0.95])
    return f"memory predicted within {median:.1%} in the median, {high:.1%} at the 95th percentile"


if __name__ == "__main__":
    card = Path(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT
    print(table(card), memory(card), sep="\n\n")
