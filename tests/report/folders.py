"""A run's folder as far as reports read it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

FIXTURE = Path(__file__).with_name("result_fixture.json")
CLASSES = ["negative", "<img src=x onerror=alert(4)>", "中立 😐"]


def with_run_files(folder: Path) -> dict[str, Any]:
    """The fixture's result, with classes of hostile names; its folder gets the curves and rows of the recommended setup."""
    result = json.loads(FIXTURE.read_text(encoding="utf-8"))
    result["task"]["classes"] = CLASSES
    entry = next(e for e in result["setups"] if e["id"] == result["recommendation"]["id"])
    seeds = [m["seed"] for m in entry["measurements"] if m["role"] == "confirm"]
    for seed in {m["seed"] for m in entry["measurements"]}:
        trial = folder / "setups" / entry["id"] / f"seed-{seed}"
        trial.mkdir(parents=True)
        lines = [{"total_steps": 40, "first_step": 0, "parent": None}]
        lines += [{"step": step, "train_loss": 1.0 / step} for step in range(10, 50, 10)]
        (trial / "curve.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    true, predicted = np.array([0, 0, 0, 0, 1, 1, 2, 2]), np.array([0, 0, 0, 1, 1, 2, 2, 2])
    rows = np.stack([predicted, true], axis=1).astype(np.float32)
    np.save(folder / "setups" / entry["id"] / f"seed-{seeds[0]}" / "test_rows.npy", rows)
    return result
