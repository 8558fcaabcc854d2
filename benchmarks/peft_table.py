"""Makes a table for searches to be simulated on from the results of PEFT's own method comparison.

python benchmarks/peft_table.py FOLDER     FOLDER: method_comparison/MetaMathQA/results of huggingface/peft.

63 trainings of Llama-3.2-3B on MetaMathQA (bfloat16, 5,000 steps of batch 4, one NVIDIA L40S). Recorded are seconds, memory,
train loss and accuracy on 50 examples along the way, and in the end the accuracy on 1,319 test examples. What is not recorded
is made up from that (docs/benchmarks/table.md): the quality at an earlier stop, which examples were solved, other seeds.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from machine import RESULTS
from scipy.stats import norm

from peftcost.core.setup import Setup
from peftcost.methods import get_method

STOPS = (5_000, 10_000, 20_000)
"""Examples; the last is all of the training."""
SEEDS = 4
TEST_ROWS = 1319
SHARED = 0.5
"""Of what decides whether an example is solved, the variance that every training shares, how hard it is. At half, two runs of
one setup differ by 1.1 points, as re-runs did (174 of them, 1.14)."""
WINDOW = 3
"""Checkpoints each side, over which an accuracy on 50 examples is averaged."""
LORA_KINDS = {"lorafa": "LoRA-FA", "mica": "MiCA", "bdlora": "BD-LoRA", "target-mlp": "LoRA of MLP", "rank64": "LoRA rank 64"}
"""What is LoRA to PEFT and lies outside of peftcost's `lora`, by a part of the experiment's name."""


def setup_of(variant: str, run: Mapping[str, Any], stop: int) -> Setup:
    """The experiment: a setup of `full` or `lora`, or of a method that is called as PEFT calls it."""
    rate = float(run["train_config"]["optimizer_kwargs"]["lr"])
    config = run["peft_config"]
    if config is None:
        return Setup("full", {**get_method("full").prior(), "learning_rate": rate}, stop)
    is_lora = config["peft_type"] == "LORA"
    kind = next((kind for mark, kind in LORA_KINDS.items() if is_lora and mark in variant), None)
    if not is_lora or kind is not None:
        return Setup(kind or config["peft_type"], {"learning_rate": rate, "variant": variant}, stop)
    chosen = {"learning_rate": rate, "rank": config["r"], "rslora": config["use_rslora"], "dora": config["use_dora"]}
    return Setup("lora", {**get_method("lora").prior(), **chosen}, stop)


def accuracy_at(valid: np.ndarray, stop: int, final: float) -> float:
    """Test accuracy had training ended at this stop: the final one, less by what validation still gained after it."""
    at = round(len(valid) * stop / STOPS[-1]) - 1
    around = valid[max(0, at - WINDOW) : at + WINDOW + 1].mean()
    end = valid[-WINDOW - 1 :].mean()
    return final * min(1.0, around / end) if end > 0 and stop < STOPS[-1] else final


def solved(accuracy: float, hardness: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Which examples a training solves, as (predicted, true) pairs of int8."""
    own = random.normal(size=len(hardness))
    ability = norm.ppf(np.clip(accuracy, 1e-6, 1 - 1e-6))
    right = np.sqrt(SHARED) * hardness + np.sqrt(1 - SHARED) * own < ability
    return np.stack([right, np.ones_like(right)], axis=1).astype(np.int8)


def rows_of(file: Path, hardness: np.ndarray) -> list[dict[str, Any]]:
    """All stops and seeds of one experiment."""
    variant = file.stem.partition("--llama-3.2-3B-")[2]
    found = json.loads(file.read_text())
    run, info = found["run_info"], found["train_info"]
    along = [m for m in info["metrics"] if "valid accuracy" in m]
    final = next(m["test accuracy"] for m in info["metrics"] if "test accuracy" in m)
    valid = np.array([m["valid accuracy"] for m in along])
    started = along[0]["elapsed time"] - along[0]["train time"] - along[0]["eval time"]
    evaluating, half = float(np.median([m["eval time"] for m in along])) / 50, TEST_ROWS // 2
    rows = []
    for stop in STOPS:
        setup = setup_of(variant, run, stop)
        at = along[round(len(along) * stop / STOPS[-1]) - 1]
        seconds = info["train_time"] * stop / STOPS[-1]
        for seed in range(SEEDS):
            random = np.random.default_rng([seed, stop, int(setup.lineage.rpartition("-")[2], 16)])
            examples = solved(accuracy_at(valid, stop, final), hardness, random)
            rows.append(
                {
                    "task": "metamath",
                    "method": setup.method,
                    "lineage": setup.lineage,
                    "hyperparameters": json.dumps(dict(setup.hyperparameters), sort_keys=True),
                    "stop_examples": stop,
                    "seed": seed,
                    "quality": float((examples[:half, 0] == examples[:half, 1]).mean()),
                    "train_loss": at["train loss"],
                    "dev_loss": at["train loss"],
                    "gpu_seconds": seconds,
                    "startup_seconds": started,
                    "evaluation_seconds": evaluating * half,
                    "peak_bytes": int(info["accelerator_memory_max"]),
                    "process_peak_bytes": int(info["accelerator_memory_max"]),
                    "contended": False,
                    "dev_rows": examples[:half].tobytes(),
                    "test_rows": examples[half:].tobytes(),
                    "machine": "NVIDIA L40S",
                    "total_parameters": info["num_total_params"],
                    "layers": 28,
                }
            )
    return rows


def main(folder: Path) -> None:
    hardness = np.random.default_rng(0).normal(size=TEST_ROWS)
    # a method's first is its prior
    files = sorted(folder.glob("*.json"), key=lambda file: ("default" not in file.stem, file.stem))
    rows = [row for file in files for row in rows_of(file, hardness)]
    path = RESULTS / "table-metamath.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path, compression="zstd")
    print(f"Wrote {path}: {len(files)} lineages")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
