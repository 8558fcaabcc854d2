"""A table whose truth is known: learning curves of four methods, drawn."""

from __future__ import annotations

from itertools import product

import numpy as np

from peftcost.core.setup import Setup
from peftcost.methods import get_method
from peftcost.simulator.table import Record, RecordedTable
from peftcost.tasks import get_task_type

STOPS = (300, 600, 1200)
EXAMPLES = 1200
METHODS = {  # best quality in the end, best rate, gpu_seconds per example, peak
    "frozen": (0.66, 2e-3, 0.02, 120e6),
    "full": (0.76, 1e-4, 0.08, 500e6),
    "lora": (0.755, 1e-3, 0.06, 300e6),
    "bitfit": (0.72, 2e-3, 0.055, 280e6),
}


def synthetic_table(seed: int = 0, seeds: int = 4) -> RecordedTable:
    """Quality falls with the distance from the method's best rate, and grows with the length."""
    random = np.random.default_rng(seed)
    difficulty = random.random(EXAMPLES)
    rows = {}
    for method, (best, rate, per_example, peak) in METHODS.items():
        for factor, variant in product((0.2, 0.5, 1.0, 2.0, 5.0), (0, 1)):
            choices = {**get_method(method).prior(), "learning_rate": rate * factor, **varied(method, variant)}
            loss_of_rate = 0.03 * np.log2(factor) ** 2 / 2
            for job_seed in range(seeds):
                noise = random.normal(0, 0.004)
                for stop in STOPS:
                    true = best - loss_of_rate - 0.01 * variant - 0.08 * 300 / stop + noise
                    setup = Setup.of(method, choices, stop)
                    rows[setup.id, job_seed] = row(setup, job_seed, true, per_example, peak, difficulty, random)
    return RecordedTable(rows, get_task_type("text-classification").metrics["accuracy"])


def varied(method: str, variant: int) -> dict[str, int | None]:
    if method == "frozen":
        return {"top_layers": variant}
    return (
        {"rank": (8, 32)[variant]} if method == "lora" else {"top_layers": (None, 2)[variant]} if method == "bitfit" else {}
    )


def row(
    setup: Setup, seed: int, true: float, per_example: float, peak: float, difficulty: np.ndarray, random: np.random.Generator
) -> Record:
    own = 0.7 * difficulty + 0.3 * random.random(len(difficulty))
    right = own < np.quantile(own, np.clip(true, 0.05, 0.95))
    examples = np.stack([right, np.ones(len(right))], axis=1).astype(np.float32)
    return Record(
        setup, seed, 1.2 - true, 1.2 - true + float(random.normal(0, 0.004)),
        per_example * setup.stop_examples, 1.0, 0.004, int(peak), int(peak), examples,
    )  # fmt: skip
