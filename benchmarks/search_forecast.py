"""Whether "twice the budget would find something better, or as good and cheaper, with a chance of about …" holds: searches
replayed on the recorded tables with a budget, and with twice of it.

python benchmarks/search_forecast.py [--seeds 24]     writes results/search_forecast.json and prints the table.

Changed for the better means: truly better by more than the margin, or cheaper by a tenth and truly no worse than the margin.
"""

from __future__ import annotations

import argparse
import os
from functools import partial

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from machine import RESULTS, write_result
from search_replays import replays

from peftcost.searcher.config import DEFAULT_CONFIG
from peftcost.simulator.search import simulate, true_points
from peftcost.simulator.table import read_table

TABLES = ("tweets", "reviews")
SHARES = (0.05, 0.12, 0.25)
"""Of what training the whole table takes: the budgets."""
BINS = (0.0, 0.1, 0.3, 0.6, 1.0)


def foretold(name: str, share: float, seed: int) -> tuple[float, bool] | None:
    """The chance that was told, and whether twice the budget changed the advice for the better; None without advice."""
    table = read_table(RESULTS / f"table-{name}.parquet")
    limit, margin, truth = share * table.total_gpu_seconds, table.metric.default_margin, true_points(table)
    first, second = (simulate(table, times * limit, seed) for times in (1, 2))
    if first.forecast is None or first.recommendation is None or second.recommendation is None:
        return None
    (before, cost_before, _), (after, cost_after, _) = (truth[found.recommendation.id] for found in (first, second))
    is_cheaper = cost_after < DEFAULT_CONFIG.cheaper_share * cost_before and after >= before - margin
    return first.forecast.chance, bool(after > before + margin or is_cheaper)


def main(seeds: int) -> None:
    pairs = []
    for name in TABLES:
        for share in SHARES:
            pairs += [pair for pair in replays(partial(foretold, name, share), range(seeds)) if pair is not None]
    rows = []
    for low, high in zip(BINS, BINS[1:], strict=False):
        told = [(chance, changed) for chance, changed in pairs if low <= chance < high or chance == high == 1.0]
        if told:
            mean, share = np.mean(told, axis=0)
            rows.append({"from": low, "to": high, "replays": len(told), "told": float(mean), "changed": float(share)})
            print(f"told {low:.1f} to {high:.1f}: {len(told)} replays, told {mean:.2f}, changed {share:.2f}")
    write_result("search_forecast", {"seeds": seeds, "bins": rows})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=24)
    main(parser.parse_args().seeds)
