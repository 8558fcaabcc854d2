"""Events of a small search."""

from __future__ import annotations

from typing import Any

from peftcost.core.setup import Setup
from peftcost.cost.model import Probe
from peftcost.methods import get_method

SETUP = Setup.of("lora", get_method("lora").prior(), 300)
MEASUREMENT = {
    "seed": 0,
    "role": "explore",
    "quality": 0.75,
    "train_loss": 0.5,
    "dev_loss": 0.6,
    "gpu_seconds": 12.0,
    "startup_seconds": 1.0,
    "peak_bytes": 10,
    "process_peak_bytes": 20,
    "latency_seconds": 0.1,
    "artifact_bytes": 5,
    "trainable_parameters": 1,
    "total_parameters": 2,
}
PLANNED: dict[str, Any] = {
    "event": "planned",
    "t": 0.0,
    "probes": {"lora": Probe(1.0, 0.01, 0.001, 1, 1, 1).as_dict()},
    "infeasible": {"ia3": "out of memory"},
    "methods": ["lora"],
    "stops": [300, 600],
    "train_rows": 600,
    "dev_rows": 100,
    "test_rows": 0,
}
ACQUIRED = {"event": "acquired", "t": 1.0, "device": 0, "category": "startup"}


def started(trial: int, setup: Setup = SETUP, parent: int | None = None, t: float = 2.0, seed: int = 0) -> dict[str, Any]:
    names = {"trial": trial, "setup": setup.as_dict(), "id": setup.id, "lineage": setup.lineage, "device": 0}
    predicted = {"gpu_seconds": 1.0, "peak_bytes": 1, "trial_seconds": 1.0}
    return {
        "event": "started",
        "t": t,
        **names,
        "seed": seed,
        "role": "explore",
        "parent": parent,
        "predicted": predicted,
    }


def measured(trial: int, t: float = 5.0) -> dict[str, Any]:
    return {"event": "measured", "t": t, "trial": trial, "measurement": MEASUREMENT}
