"""The table of steps in docs/gpu.md, from a card's JSON.

python -m benchmarks.gpu.table [benchmarks/results/gpu/CARD.json]     Prints Markdown.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

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


def table(file: Path) -> str:
    """Milliseconds a step, a column a size."""
    steps = json.loads(file.read_text(encoding="utf-8"))["parts"]["steps"]["result"]
    lines = ["| ms a step | " + " | ".join(steps) + " |", "|" + "---|" * (len(steps) + 1)]
    for way, words in WAYS.items():
        cells = [f"{found[way]['ms']:.1f}" if found.get(way, {}).get("ms") else "" for found in steps.values()]
        lines.append(f"| {words} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table(Path(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT))
