"""Whether the demo's advice is confirmed: `peftcost demo` with one seed after the other.

python benchmarks/demo.py [SEED ...]     0 to 4 by default. Some nine minutes a seed on two quiet cores. It can be stopped and
started again; results/demo.json has the seeds that are done.
python benchmarks/demo.py of RUN ...     the same of other searches, into results/demo_trials.json
`demo_simulated.py` does so on recorded trainings.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from machine import recorded, write_result

from peftcost.cli.commands.demo import BUDGET
from peftcost.data.builtin import cache_folder
from peftcost.task.task import load_task

SEEDS = (0, 1, 2, 3, 4)
WORK = cache_folder() / "demo"


def advice(seed: int) -> dict[str, Any]:
    """What the demo says with this seed."""
    run = WORK / str(seed)
    if not (run / "result.json").exists():
        subprocess.run([sys.executable, "-m", "peftcost", "demo", "--seed", str(seed), "--out", str(run)], check=True)
    return told_by(run)


def told_by(run: Path) -> dict[str, Any]:
    """What the search in this folder says."""
    result = json.loads((run / "result.json").read_text(encoding="utf-8"))
    told, setups = result["recommendation"], {setup["id"]: setup for setup in result["setups"]}
    roles = [measurement["role"] for setup in setups.values() for measurement in setup["measurements"]]
    return {
        "confirmed": told["confirmed"],
        "margin": told["margin"],
        "probability_within_margin": told["probability_within_margin"],
        "fresh_seeds": sum(measured["role"] == "confirm" for measured in setups[told["id"]]["measurements"]),
        "recommended": {**described(setups[told["id"]]), "dev": told["quality"], "dev_interval": told["quality_interval"]},
        "best": described(setups[told["best"]]),
        "test": {name: row["quality"] for name, row in result["test"].items()},
        "methods": sorted({setup["method"] for setup in setups.values() if setup["status"] == "measured"}),
        "trainings": {role: roles.count(role) for role in dict.fromkeys(roles)},
        "spent_gpu_seconds": result["budget"]["spent_gpu_seconds"],
    }


def described(setup: dict[str, Any]) -> dict[str, Any]:
    return {name: setup[name] for name in ("method", "hyperparameters", "stop_examples", "gpu_seconds")}


def main(seeds: list[int]) -> None:
    done = recorded("demo", "seeds")
    for seed in seeds:
        if str(seed) not in done:
            done[str(seed)] = advice(seed)
            task = load_task("builtin:opinions").model_dump(mode="json", exclude_none=True)
            write_result("demo", {"budget": BUDGET, "task": task, "seeds": done})


if __name__ == "__main__":
    if sys.argv[1:2] == ["of"]:
        write_result("demo_trials", {"runs": {run: told_by(Path(run)) for run in sys.argv[2:]}})
    else:
        main([int(seed) for seed in sys.argv[1:]] or list(SEEDS))
