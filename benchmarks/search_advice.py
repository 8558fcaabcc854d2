"""Whether what a search advises is true, and whether it keeps to its budget: replayed on a recorded table."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from search_replays import replays

from peftcost.core.front import Point
from peftcost.core.statistics import NonInferiority
from peftcost.errors import UserError
from peftcost.searcher.config import DEFAULT_CONFIG
from peftcost.simulator.search import Outcome, simulate, true_points
from peftcost.simulator.table import RecordedTable

SHARES = (0.1, 0.25)
"""Of the table's total cost: the budgets of a replay."""
USUAL: dict[str, Any] = {"dev_size": 1500, "margin": 0.02, "confidence": 0.95, "most_seeds": 3}
VARIED: dict[str, tuple[Any, ...]] = {
    "dev_size": (100, 200, 500, 1500, 3000),
    "margin": (0.01, 0.02, 0.03, 0.05),
    "confidence": (0.5, 0.8, 0.9, 0.95),
    "most_seeds": (2, 3, 5),
}
"""Each is varied while the others are as usual."""
REPLAYS = 16
INTERVALS = 180
"""Replays a budget, each in a world of its own (those of the advice share theirs)."""
BUDGETS = 1000
SETTLED = "the recommendation is settled"
"""Why a search ends. It ends early, too, where it says after a semicolon that the rest would hardly change the advice."""


def advice(table: RecordedTable) -> dict[str, Any]:
    """Replays by budget, size of dev, margin, confidence and seeds of a confirmation; `benchmarks/search_picture.py` draws
    them."""
    truth = true_points(table)
    return {"usual": USUAL, **{str(share): advice_at(table, truth, share) for share in SHARES}}


def advice_at(table: RecordedTable, truth: dict[str, Point], share: float) -> dict[str, Any]:
    """With this share of the table's cost as the budget."""
    replayed: dict[str, list[dict[str, float]]] = {}
    found: dict[str, dict[str, Any]] = {name: {} for name in VARIED}
    for name, values in VARIED.items():
        for value in values:
            asked = {**USUAL, name: value}
            key = str(sorted(asked.items()))
            if key not in replayed:
                replayed[key] = replays(partial(judged_replay, table, truth, share, asked), range(REPLAYS))
            found[name][str(value)] = summary(replayed[key])
            print(share, name, value, found[name][str(value)], flush=True)
    return {**found, "all": summary([facts for every in replayed.values() for facts in every])}


def judged_replay(
    table: RecordedTable, truth: dict[str, Point], share: float, asked: dict[str, Any], seed: int
) -> dict[str, float]:
    """The advice of one search, as asked for, against the truth."""
    limit, criterion = share * table.total_gpu_seconds, NonInferiority(asked["margin"], asked["confidence"])
    config = replace(DEFAULT_CONFIG, most_confirm_seeds=asked["most_seeds"])
    outcome = simulate(table, limit, seed, dev_size=asked["dev_size"], criterion=criterion, config=config)
    return judged(outcome, truth, asked["margin"])


def judged(outcome: Outcome, truth: dict[str, Point], margin: float) -> dict[str, float]:
    """One piece of advice against the truth. short: how far it lies below the best; cost: over that of the cheapest which is
    as good; each of all setups of the table, and of those that the search has measured."""
    if outcome.recommendation is None:
        return {}
    chosen = outcome.recommendation.id
    measured = {e["id"]: e["quality"] for e in outcome.entries if e["status"] == "measured"}
    observed = max(measured, key=lambda s: measured[s])
    low, high = outcome.recommendation.quality_interval
    facts = {
        "confirmed": float(outcome.recommendation.confirmed),
        "held": float(low <= truth[chosen][0] <= high),
        "held_of_exploring": float(held_of_exploring(outcome, truth)),
        "short_of_observed": truth[observed][0] - truth[chosen][0],
        "cost_over_observed": truth[chosen][1] / truth[observed][1],
    }
    for name, among in (("table", list(truth)), ("measured", list(measured))):
        best = max(truth[s][0] for s in among)
        good = [truth[s][1] for s in among if truth[s][0] >= best - margin]
        facts |= {f"short_of_{name}": best - truth[chosen][0], f"cost_over_{name}": truth[chosen][1] / min(good)}
        facts[f"wrong_of_{name}"] = float(best - truth[chosen][0] > margin)
    return facts


def held_of_exploring(outcome: Outcome, truth: dict[str, Point]) -> bool:
    """Whether the best of exploring is truly within the 95 % interval that its own dev sample gives: what one would believe
    without confirmation."""
    explored = [t for t in outcome.state.measured("explore") if t.measurement is not None]
    best = max(explored, key=lambda t: t.measurement.quality if t.measurement is not None else 0.0)
    assert best.measurement is not None
    quality, rows = best.measurement.quality, best.measurement.dev_rows or outcome.state.cost.dev_rows
    half = 1.96 * math.sqrt(quality * (1 - quality) / rows)
    return abs(truth[best.setup.id][0] - quality) <= half


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
        "all_wrong_of_table": mean(told, "wrong_of_table"),
        "all_cost_over_cheapest_of_table": median(told, "cost_over_table"),
    }


def intervals(table: RecordedTable) -> dict[str, Any]:
    """How often the interval that is told of the advice holds the truth, whatever the size of dev and the margin."""
    truth, found = true_points(table), {}
    for share in SHARES:
        seeds = range(REPLAYS, REPLAYS + INTERVALS)
        told = [facts for facts in replays(partial(varied_replay, table, truth, share), seeds) if facts]
        held = {name: float(np.mean([facts[name] for facts in told])) for name in ("held", "held_of_exploring")}
        found[str(share)] = {"replays": len(told), **held}
    return found


def varied_replay(table: RecordedTable, truth: dict[str, Point], share: float, seed: int) -> dict[str, float]:
    random = np.random.default_rng([2, seed])
    return judged_replay(table, truth, share, {name: random.choice(values).item() for name, values in VARIED.items()}, seed)


@dataclass(frozen=True)
class Ended:
    """How a search ended. share: what it spent of its budget, closing included, where the budget ended it. Where the search
    ended early, whether its advice had been better with the rest of the budget, and with twice the budget."""

    because: str
    overspent: bool = False
    share: float | None = None
    better_with_the_rest: bool | None = None
    better_with_twice: bool | None = None


def budget(table: RecordedTable) -> dict[str, Any]:
    """Searches with random budgets, costs, devices and crashes: none may spend more than it was given."""
    every = replays(partial(ended, table), range(BUDGETS))
    shares = [search.share for search in every if search.share is not None]
    early = [search for search in every if search.better_with_the_rest is not None]
    return {
        "searches": BUDGETS,
        "overspent": sum(search.overspent for search in every),
        "ends": dict(Counter(search.because for search in every)),
        "spent_where_the_budget_ended_it": quantiles(shares),
        "ended_early": len(early),
        "of_these_better_with_the_rest": sum(bool(search.better_with_the_rest) for search in early),
        "of_these_better_with_twice_the_budget": sum(bool(search.better_with_twice) for search in early),
    }


def ended(table: RecordedTable, seed: int) -> Ended:
    random = np.random.default_rng([1, seed])
    limit = table.total_gpu_seconds * math.exp(random.uniform(math.log(0.02), math.log(0.3)))
    conditions: dict[str, Any] = {
        "devices": int(random.integers(1, 5)),
        "slowness": float(random.choice([0.0, 0.1, 0.3])),
        "crashes": float(random.choice([0.0, 0.05, 0.3])),
    }
    try:
        found = simulate(table, limit, seed, **conditions)
    except UserError:
        return Ended("too small")
    overspent, because = found.spent_gpu_seconds > limit, found.because.partition(";")[0]
    if found.because == because and because != SETTLED:
        share = (found.spent_gpu_seconds + found.state.cost.closing_seconds()) / limit
        return Ended(because, overspent, share if "budget" in because else None)
    rest = simulate(table, limit, seed, **conditions, config=replace(DEFAULT_CONFIG, explore_again_chance=0.0))
    twice, truth = simulate(table, 2 * limit, seed, **conditions), true_points(table)
    return Ended(f"early: {because}", overspent, None, is_better(found, rest, truth), is_better(found, twice, truth))


def is_better(found: Outcome, more: Outcome, truth: dict[str, Point]) -> bool:
    """Whether the advice of a search with more budget is truly better by more than the margin, or cheaper by a tenth and as
    good."""
    if found.recommendation is None or more.recommendation is None:
        return False
    (quality, cost, _), (later_quality, later_cost, _) = truth[found.recommendation.id], truth[more.recommendation.id]
    margin = found.recommendation.margin
    return later_quality > quality + margin or (later_cost < 0.9 * cost and later_quality >= quality - margin)


def quantiles(values: Sequence[float]) -> dict[str, float]:
    return {str(q): float(np.quantile(values, q)) for q in (0.05, 0.25, 0.5, 0.75, 0.95)} if values else {}
