"""A search of tweets on one GPU: what it measures, promotes and confirms, and where its 120 gpu-seconds go.

python -m benchmarks.gpu.search     Prints one JSON object.
"""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import peftcost
from peftcost.store.journal import read_events
from peftcost.task.task import Rows, load_task

BUDGET = "120gpu-s"
ROWS = Rows(train=10_000, dev=2000, test=2000)
METHODS = ["full", "frozen", "lora", "adalora", "int8-lora", "nf4-lora"]


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        task = load_task("builtin:tweets").model_copy(update={"rows": ROWS})
        run = peftcost.search(task, budget=BUDGET, methods=METHODS, devices="cuda", out=Path(scratch) / "run")
        result = run.folder.read_result()
        events = list(read_events(run.folder.journal_file))
    measured = [event["measurement"] for event in events if event["event"] == "measured"]
    planned: dict[str, Any] = next(event for event in events if event["event"] == "planned")
    best: dict[str, dict[str, Any]] = {}
    for entry in result["setups"]:
        if entry["quality"] is not None and entry["quality"] > best.get(entry["method"], {}).get("quality", 0.0):
            best[entry["method"]] = {key: entry[key] for key in ("quality", "gpu_seconds", "peak_bytes", "stop_examples")}
    print(
        json.dumps(
            {
                "budget": BUDGET,
                "rows": ROWS.model_dump(),
                "spent_gpu_seconds": result["budget"]["spent_gpu_seconds"],
                "stopped_because": result["budget"]["stopped_because"],
                "ledger": result["ledger"],
                "trials": len(measured),
                "confirmations": sum(one["role"] == "confirm" for one in measured),
                "promotions": sum(event["event"] == "started" and event["parent"] is not None for event in events),
                "imputed": sum(one["cost_basis"] == "imputed" for one in measured),
                "infeasible": planned["infeasible"],
                "failed": [event["reason"] for event in events if event["event"] == "failed"],
                "status": Counter(entry["status"] for entry in result["setups"]),
                "methods": best,
                "recommendation": result["recommendation"],
                "test": result["test"],
                "warnings": result["warnings"],
            }
        )
    )


if __name__ == "__main__":
    main()
