"""How often the demo's advice is confirmed, and how often it is right: its search, replayed on recorded trainings.

python benchmarks/demo_simulated.py [--seeds 40] [--margin 0.04] [--gpu-seconds 510] [--config JSON]
    --gpu-seconds: as the demo spends them. The table was recorded on one core, where they go less far: by as much as what
    demos recommended (results/demo.json) took longer there. --config: numbers of the search's config that are changed.
    Writes results/demo_simulated.json.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from machine import RESULTS, recorded, write_result
from search_advice import judged
from search_replays import replays

from peftcost.cli.commands.demo import BUDGET
from peftcost.core.budget import parse_budget
from peftcost.core.setup import Setup
from peftcost.core.statistics import NonInferiority
from peftcost.data.builtin import builtin_table
from peftcost.searcher.config import DEFAULT_CONFIG, SearchConfig
from peftcost.simulator.search import simulate, true_points
from peftcost.simulator.table import RecordedTable, read_table
from peftcost.task.task import load_task

TABLE = RESULTS / "table-opinions.parquet"


def replay(limit: float, floor: float, margin: float, config: SearchConfig, seed: int) -> dict[str, Any]:
    """One demo's advice, against the truth of the table."""
    table = read_table(TABLE)
    found = simulate(table, limit, seed, criterion=NonInferiority(margin), floor=floor, config=config)
    advised, facts = found.recommendation, judged(found, true_points(table), margin)
    assert advised is not None
    roles = Counter(trial.role for trial in found.state.measured())
    return {
        "confirmed": advised.confirmed,
        "wrong": bool(facts["wrong_of_table"]),
        "short": facts["short_of_table"],
        "cost": facts["cost_over_table"],
        "method": found.state.setup(advised.id).method,
        "probability_within_margin": advised.probability_within_margin,
        "caveats": [caveat.text for caveat in advised.caveats],
        "because": found.because,
        **{f"{role}_trainings": roles[role] for role in ("explore", "confirm")},
        "spent": found.spent_gpu_seconds / limit,
    }


def slower(table: RecordedTable) -> float:
    """How much longer what demos recommended took when the table was recorded, in fp32."""
    known = {setup_id for setup_id, _ in table.records}
    told = [advice["recommended"] for advice in recorded("demo", "seeds").values()]
    setups = [Setup(t["method"], {**t["hyperparameters"], "precision": "fp32"}, t["stop_examples"]) for t in told]
    pairs = [(setup, t["gpu_seconds"]) for setup, t in zip(setups, told, strict=True) if setup.id in known]
    return statistics.median(table.cost(setup) / seconds for setup, seconds in pairs)


def majority_share() -> float:
    """What the simplest baseline of the demo reaches."""
    task = load_task("builtin:opinions")
    counts = Counter(row[task.columns["label"]] for row in builtin_table("opinions").rows)
    return max(counts.values()) / counts.total()


def summary(told: list[Mapping[str, Any]]) -> dict[str, Any]:
    confirmed = [advice for advice in told if advice["confirmed"]]
    return {
        "confirmed": len(confirmed) / len(told),
        "of_these_wrong": sum(advice["wrong"] for advice in confirmed),
        "wrong": sum(advice["wrong"] for advice in told),
        "mean_short": float(np.mean([advice["short"] for advice in told])),
        "mean_cost": float(np.exp(np.mean([np.log(advice["cost"]) for advice in told]))),
        "methods": dict(Counter(advice["method"] for advice in told)),
    }


def main(seeds: int, margin: float, gpu_seconds: float, config: SearchConfig) -> None:
    table = read_table(TABLE)
    factor, floor = slower(table), majority_share()
    told = replays(partial(replay, factor * gpu_seconds, floor, margin, config), range(seeds))
    asked = {"margin": margin, "gpu_seconds": gpu_seconds, "slower": factor, "floor": floor}
    write_result("demo_simulated", {**asked, **summary(told), "replays": told})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=40)
    parser.add_argument("--margin", type=float, default=load_task("builtin:opinions").margin)
    parser.add_argument("--gpu-seconds", type=float, default=parse_budget(BUDGET).gpu_seconds)
    parser.add_argument("--config", type=json.loads, default={})
    asked = parser.parse_args()
    main(asked.seeds, asked.margin, asked.gpu_seconds, replace(DEFAULT_CONFIG, **asked.config))
