"""What each part of the search brings: the same searches without it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any
from unittest import mock

import numpy as np
from search_replays import replays

from peftcost.core.setup import Setup, method_of
from peftcost.recipe.warm_start import best_setups
from peftcost.recommend.policies import Recommendation
from peftcost.recommend.result import front_of
from peftcost.searcher import decide, explore
from peftcost.searcher.config import DEFAULT_CONFIG
from peftcost.searcher.explore import Candidate, StartingPoints, Suggest
from peftcost.searcher.state import SearchState
from peftcost.simulator.search import Outcome, reference_of, simulate, true_hypervolume, true_points
from peftcost.simulator.table import RecordedTable

SHARE = 0.09
SEEDS = 24
APART = 2.5
"""To what power ratios of speed are raised where costs are to lie further apart."""


def whole(table: RecordedTable, seed: int) -> Outcome:
    return simulate(table, SHARE * table.total_gpu_seconds, seed)


def changed(fields: Mapping[str, Any], table: RecordedTable, seed: int) -> Outcome:
    """With other numbers to decide by."""
    return simulate(table, SHARE * table.total_gpu_seconds, seed, config=replace(DEFAULT_CONFIG, **fields))


def without_stops(table: RecordedTable, seed: int) -> Outcome:
    """Every setup is trained to the end at once."""
    records = {key: row for key, row in table.records.items() if row.setup.stop_examples == table.stops[-1]}
    return simulate(replace(table, records=records), SHARE * table.total_gpu_seconds, seed)


def without_priors(table: RecordedTable, seed: int) -> Outcome:
    """Each method begins with any of its setups."""

    def any_of(method: str) -> Setup:
        of_method = sorted((s for s in table.lineages.values() if s.method == method), key=lambda s: s.id)
        chosen = of_method[int(np.random.default_rng([seed, len(of_method)]).integers(len(of_method)))]
        return chosen.until(table.stops[0])

    first = {method: any_of(method) for method in {setup.method for setup in table.lineages.values()}}
    return simulate(table, SHARE * table.total_gpu_seconds, seed, priors=first)


def with_references_to_the_end(table: RecordedTable, seed: int) -> Outcome:
    """What full and LoRA are opened with goes first, and on to the end."""
    ranked = explore.candidates

    def references_first(state: SearchState, starts: StartingPoints, suggest: Suggest, margin: float) -> list[Candidate]:
        arms = [arm for arm in state.references if method_of(arm) in decide.REFERENCE_METHODS]
        lineages = {starts[arm][0].lineage for arm in arms}
        found = ranked(state, starts, suggest, margin)
        is_first = [c.action.parent is not None and c.ahead[0].lineage in lineages for c in found]
        first = [replace(c, gain_rate=math.inf) for c, goes_first in zip(found, is_first, strict=True) if goes_first]
        return first + found

    with mock.patch.object(decide, "candidates", references_first):  # the search itself has no such order
        return changed({}, table, seed)


NEVER = 2.0
"""A chance that nothing has."""
CHANGES: dict[str, dict[str, Any]] = {
    "without costs": {"cost_exponent": 0.0},
    "with costs in full": {"cost_exponent": 1.0},
    "without full and LoRA first": {"opening_share": 0.0},
    "without following references": {"rising_chance": NEVER, "shorter_rising_chance": NEVER},
    "without confirmation": {
        "explore_share": 1.0,
        "most_reserved": 0.0,
        "least_reserved": 0.0,
        "most_confirm_seeds": 0,
    },
    "without going back": {"explore_again_chance": NEVER},
}
"""Parts that are left out by other numbers. What is bought is what adds most whatever it takes, or per gpu-second; full and
LoRA are opened, and go on before confirming, when they are worth it, like all others; all is spent on exploring, and the
cheapest expected to be as good is recommended; the search ends when confirming does."""


def warm(earlier: Callable[[RecordedTable], RecordedTable], table: RecordedTable, seed: int, recipe: bool = False) -> Outcome:
    """With what a search of as much on an earlier table taught. recipe: with its best setup alone, to be tried first."""
    before = simulate(earlier(table), SHARE * table.total_gpu_seconds, SEEDS + seed)
    setups = best_setups(before.entries)
    prior_runs = {"setups": [], "recipes": setups[:1]} if recipe else {"setups": setups}
    return simulate(table, SHARE * table.total_gpu_seconds, seed, prior_runs=prior_runs)


def same(table: RecordedTable) -> RecordedTable:
    return table


def upside_down(table: RecordedTable) -> RecordedTable:
    """The best lineage is as good as the worst was, and so on; costs stay."""
    ranked = sorted(table.lineages.values(), key=lambda s: table.truth(s.id))
    opposite = {one.lineage: other for one, other in zip(ranked, reversed(ranked), strict=True)}
    records = {}
    for key, row in table.records.items():
        other = opposite[row.setup.lineage].until(row.setup.stop_examples)
        seeds = table.seeds(other.id)
        shown = table.records[other.id, seeds[min(table.seeds(row.setup.id).index(row.seed), len(seeds) - 1)]]
        records[key] = replace(row, examples=shown.examples, dev_loss=shown.dev_loss, train_loss=shown.train_loss)
    return replace(table, records=records)


PARTS: dict[str, Callable[[RecordedTable, int], Outcome]] = {
    "whole": whole,
    "without stops": without_stops,
    "without priors": without_priors,
    "full and LoRA to the end": with_references_to_the_end,
    **{name: partial(changed, fields) for name, fields in CHANGES.items()},
    "warm start, the same task": partial(warm, same),
    "warm start, a task upside down": partial(warm, upside_down),
    "recipe of the same task": partial(warm, same, recipe=True),
    "recipe of a task upside down": partial(warm, upside_down, recipe=True),
}

APART_TOO = ("whole", "without costs", "with costs in full")


def found_by(
    searcher: Callable[[RecordedTable, int], Outcome], table: RecordedTable, seed: int
) -> tuple[list[str], Recommendation | None]:
    """The front and the advice of a search."""
    outcome = searcher(table, seed)
    return front_of(outcome.entries), outcome.recommendation


def ablations(table: RecordedTable) -> dict[str, Any]:
    """Every part's; and what costs bring where they lie further apart than on this table."""
    apart = costs_apart(table)
    return {
        **{name: judged(table, name, searcher) for name, searcher in PARTS.items()},
        **{f"{name}, costs apart": judged(apart, f"{name}, costs apart", PARTS[name]) for name in APART_TOO},
    }


def costs_apart(table: RecordedTable) -> RecordedTable:
    """Setups that train twice as fast as the median do so five to six times as fast here, and so on."""
    speeds = {key: row.gpu_seconds / row.setup.stop_examples for key, row in table.records.items()}
    middle = float(np.median(list(speeds.values())))
    records = {
        key: replace(row, gpu_seconds=row.gpu_seconds * (speeds[key] / middle) ** (APART - 1))
        for key, row in table.records.items()
    }
    return replace(table, records=records)


def judged(table: RecordedTable, name: str, searcher: Callable[[RecordedTable, int], Outcome]) -> dict[str, float]:
    """Hypervolume, and how far below the best and how much dearer than the cheapest as good the advice truly is."""
    truth, reference = true_points(table), reference_of(table)
    best = max(quality for quality, _, _ in truth.values())
    cheapest = min(cost for quality, cost, _ in truth.values() if quality >= best - table.metric.default_margin)
    outcomes = replays(partial(found_by, searcher, table), range(SEEDS))
    volumes = [true_hypervolume(table, chosen, truth, reference) for chosen, _ in outcomes]
    recommended_points = [truth[recommendation.id] for _, recommendation in outcomes if recommendation is not None]
    found = {
        "hypervolume": float(np.mean(volumes)),
        "error": float(np.std(volumes) / np.sqrt(len(volumes))),
        "short_of_best": float(np.mean([best - quality for quality, _, _ in recommended_points])),
        "cost_over_cheapest": float(np.median([cost / cheapest for _, cost, _ in recommended_points])),
        "confirmed": float(
            np.mean([recommendation is not None and recommendation.confirmed for _, recommendation in outcomes])
        ),
    }
    print(name, found, flush=True)
    return found
