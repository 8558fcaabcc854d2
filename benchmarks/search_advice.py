"""Whether what a search advises is true, and whether it keeps to its budget: replayed on a recorded table."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from peftcost.core.front import Point
from peftcost.core.statistics import Standard
from peftcost.errors import UserError
from peftcost.simulator.search import Outcome, simulate, true_points
from peftcost.simulator.table import Table

SHARE = 0.1
"""Of the table's total cost: the budget of a replay."""
DEV_SIZES = (100, 200, 500, 1500, 3000)
MARGINS = (0.01, 0.02, 0.03)
REPLAYS = 20
BUDGETS = 1000


def advice(table: Table) -> dict[str, Any]:
    """Replays by size of dev and margin."""
    truth, found = true_points(table), {}
    for margin in MARGINS:
        for size in DEV_SIZES:
            outcomes = [
                simulate(table, SHARE * table.total_gpu_seconds, seed, dev_size=size, standard=Standard(margin))
                for seed in range(REPLAYS)
            ]
            found[f"margin {margin}, {size} dev rows"] = summary([judged(o, truth, margin) for o in outcomes])
            print(margin, size, found[f"margin {margin}, {size} dev rows"], flush=True)
    return found


def judged(outcome: Outcome, truth: dict[str, Point], margin: float) -> dict[str, float]:
    """One piece of advice against the truth. short: how far it lies below the best; cost: over that of the cheapest which is
    as good; each of all setups of the table, and of those that the search has measured."""
    if outcome.advice is None:
        return {}
    chosen = outcome.advice.id
    measured = {e["id"]: e["quality"] for e in outcome.entries if e["status"] == "measured"}
    observed = max(measured, key=lambda s: measured[s])
    low, high = outcome.advice.quality_interval
    facts = {
        "confirmed": float(outcome.advice.confirmed),
        "held": float(low <= truth[chosen][0] <= high),
        "short_of_observed": truth[observed][0] - truth[chosen][0],
        "cost_over_observed": truth[chosen][1] / truth[observed][1],
    }
    for name, among in (("table", list(truth)), ("measured", list(measured))):
        best = max(truth[s][0] for s in among)
        good = [truth[s][1] for s in among if truth[s][0] >= best - margin]
        facts |= {f"short_of_{name}": best - truth[chosen][0], f"cost_over_{name}": truth[chosen][1] / min(good)}
        facts[f"wrong_of_{name}"] = float(best - truth[chosen][0] > margin)
    return facts


def summary(facts: Sequence[dict[str, float]]) -> dict[str, Any]:
    told = [f for f in facts if f]
    confirmed = [f for f in told if f["confirmed"]]
    unsure = [f for f in told if not f["confirmed"]]

    def mean(of: Sequence[dict[str, float]], name: str) -> float | None:
        return float(np.mean([f[name] for f in of])) if of else None

    def median(of: Sequence[dict[str, float]], name: str) -> float | None:
        return float(np.median([f[name] for f in of])) if of else None

    return {
        "replays": len(facts),
        "confirmed": len(confirmed) / len(facts),
        "wrong_of_measured": mean(confirmed, "wrong_of_measured"),
        "wrong_of_table": mean(confirmed, "wrong_of_table"),
        "cost_over_cheapest_measured": median(confirmed, "cost_over_measured"),
        "cost_over_cheapest_of_table": median(confirmed, "cost_over_table"),
        "unsure_short_of_observed": mean(unsure, "short_of_observed"),
        "unsure_cost_over_observed": mean(unsure, "cost_over_observed"),
        "interval_held": mean(told, "held"),
    }


def budget(table: Table) -> dict[str, Any]:
    """Searches with random budgets, costs, devices and crashes: none may spend more than it was given."""
    random = np.random.default_rng(0)
    over, shares, ends = 0, [], Counter[str]()
    for seed in range(BUDGETS):
        limit = table.total_gpu_seconds * math.exp(random.uniform(math.log(0.02), math.log(0.3)))
        conditions = {
            "devices": int(random.integers(1, 5)),
            "slowness": float(random.choice([0.0, 0.1, 0.3])),
            "crashes": float(random.choice([0.0, 0.05, 0.3])),
        }
        try:
            found = simulate(table, limit, seed, **conditions)
        except UserError:
            ends["too small"] += 1
            continue
        over += found.spent_gpu_seconds > limit
        ends[found.because] += 1
        if "budget" in found.because:
            shares.append((found.spent_gpu_seconds + found.state.cost.closing_seconds()) / limit)
    return {"searches": BUDGETS, "overspent": over, "ends": dict(ends), "spent_where_the_budget_ended_it": quantiles(shares)}


def quantiles(values: Sequence[float]) -> dict[str, float]:
    return {str(q): float(np.quantile(values, q)) for q in (0.05, 0.25, 0.5, 0.75, 0.95)} if values else {}
