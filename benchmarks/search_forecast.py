"""Whether "twice the budget would find something better, or as good and cheaper, with a chance of about …" holds: searches
replayed on the recorded tables with a budget, and with twice of it.

python benchmarks/search_forecast.py [--seeds 24]     writes results/search_forecast.json and prints the table.

Changed for the better means: truly better by more than the margin, or cheaper by a tenth and truly no worse than the margin.
Something better: the best of all that the second search has measured is truly better than the best of all that the first has,
by more than the margin.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from functools import partial

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from machine import RESULTS, write_result
from search_replays import replays

from peftcost.core.statistics import NonInferiority
from peftcost.searcher.config import DEFAULT_CONFIG
from peftcost.simulator.search import simulate, true_points
from peftcost.simulator.table import read_table

TABLES = ("tweets", "reviews")
SHARES = (0.05, 0.12, 0.25)
"""Of what training the whole table takes: the budgets."""
MARGINS = (0.01, 0.02, 0.03)
BINS = (0.0, 0.1, 0.3, 0.6, 1.0)


@dataclass(frozen=True)
class Foretold:
    """What a search told, and what twice its budget brought: chance: of changing for the better, None where nothing was
    told of that; better_chance: of finding something better."""

    chance: float | None
    changed: bool
    better_chance: float
    better: bool


def foretold(name: str, share: float, margin: float, seed: int) -> Foretold | None:
    """None without advice."""
    table = read_table(RESULTS / f"table-{name}.parquet")
    limit, truth, criterion = share * table.total_gpu_seconds, true_points(table), NonInferiority(margin)
    first, second = (simulate(table, times * limit, seed, criterion=criterion) for times in (1, 2))
    if first.recommendation is None or second.recommendation is None:
        return None
    (before, cost_before, _), (after, cost_after, _) = (truth[found.recommendation.id] for found in (first, second))
    is_cheaper = cost_after < DEFAULT_CONFIG.cheaper_share * cost_before and after >= before - margin
    best = [max(truth[trial.setup.id][0] for trial in found.state.measured()) for found in (first, second)]
    return Foretold(
        chance=None if first.forecast is None else first.forecast.chance,
        changed=bool(after > before + margin or is_cheaper),
        better_chance=first.state.better_chance,
        better=bool(best[1] > best[0] + margin),
    )


def main(seeds: int) -> None:
    found: dict[float, list[Foretold]] = {margin: [] for margin in MARGINS}
    for margin in MARGINS:
        for name in TABLES:
            for share in SHARES:
                found[margin] += [one for one in replays(partial(foretold, name, share, margin), range(seeds)) if one]
    pairs = [(one.chance, one.changed) for one in found[MARGINS[0]] if one.chance is not None]
    rows = []
    for low, high in zip(BINS, BINS[1:], strict=False):
        told = [(chance, changed) for chance, changed in pairs if low <= chance < high or chance == high == 1.0]
        if told:
            mean, share = np.mean(told, axis=0)
            rows.append({"from": low, "to": high, "replays": len(told), "told": float(mean), "changed": float(share)})
            print(f"told {low:.1f} to {high:.1f}: {len(told)} replays, told {mean:.2f}, changed {share:.2f}")
    better = []
    for margin, ones in found.items():
        mean, share = np.mean([(one.better_chance, one.better) for one in ones], axis=0)
        better.append({"margin": margin, "replays": len(ones), "told": float(mean), "found": float(share)})
        print(f"better by {margin}: {len(ones)} replays, told {mean:.2f}, found {share:.2f}")
    write_result("search_forecast", {"seeds": seeds, "bins": rows, "better": better})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=24)
    main(parser.parse_args().seeds)
