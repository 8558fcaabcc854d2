"""Whether recipes keep what they promise: of trainings recorded with four seeds, three make the promise, the fourth has to
keep it.

python benchmarks/promises.py     writes results/promises.json

Half of a table's recorded examples are the dev rows that the promise is made on, half are new rows of the same kind.
"""

from __future__ import annotations

import os
from itertools import combinations

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from machine import RESULTS, write_result

from peftcost.core.statistics import plain_value, prediction_interval, resample_examples
from peftcost.simulator.table import RecordedTable, read_table

TABLES = ("tweets", "reviews")
PROMISING = 3
"""Seeds that a promise rests on, at least."""
REPLICATES = 500


def kept(table: RecordedTable) -> dict[str, float]:
    """Of all setups with more seeds than a promise needs, and each seed that is left out: how often its quality lies within
    the promise, and how often not below it, which is what a gate asks."""
    order = np.random.default_rng(0).permutation(table.size)
    at = {"dev": order[: table.size // 2], "new": order[table.size // 2 :]}
    found: dict[str, list[bool]] = {f"{what}, {where}": [] for what in ("within", "not below") for where in at}
    setups = [s for s in sorted({s for s, _ in table.records}) if len(table.seeds(s)) > PROMISING]
    for setup_id in setups:
        rows = {seed: table.records[setup_id, seed].examples for seed in table.seeds(setup_id)}
        reached = {
            where: {s: plain_value(r[own], table.metric.compute) for s, r in rows.items()} for where, own in at.items()
        }
        one = next(iter(rows.values()))[at["dev"]]
        error = float(resample_examples([one], table.metric.compute, len(one), REPLICATES, 0)[0].std())
        for promising in combinations(rows, PROMISING):
            told = [reached["dev"][seed] for seed in promising]
            for where in reached:
                limits, is_new = table.metric.limits, where == "new"
                low, high = prediction_interval(told, len(one), error, new_data=is_new, limits=limits)
                for seed in rows.keys() - set(promising):
                    found[f"within, {where}"].append(low <= reached[where][seed] <= high)
                    found[f"not below, {where}"].append(reached[where][seed] >= low)
    return {"setups": len(setups), "promises": len(found["within, dev"])} | {k: float(np.mean(v)) for k, v in found.items()}


def main() -> None:
    found = {name: kept(read_table(RESULTS / f"table-{name}.parquet")) for name in TABLES}
    for name, facts in found.items():
        print(name, facts)
    write_result("promises", {"promising_seeds": PROMISING, "tables": found})


if __name__ == "__main__":
    main()
