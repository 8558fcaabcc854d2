"""How much of a table's best trade-offs a search finds for a budget, against what people use today, and whether its advice
is true.

python benchmarks/search_efficiency.py --table FILE [SECTION ...]     FILE: Parquet, as docs/benchmarks/table.md says.
Sections: hypervolume, advice, intervals, budget, ablations, scale, seeds. Each writes its part of
results/search_efficiency-NAME.json when it is done, with the day on which it was recorded.

Everybody pays the same for the same: start-up, training, predicting a sample of dev, saving. Rivals train to the last stop
(ASHA goes on from stop to stop), pass over what they cannot pay, and get credit for every stop that they pass, without
paying for predicting dev there. Judged is the true quality of the front that each would show, as hypervolume on log cost and
log memory, over that of the whole table.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # every core has a search of its own

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import search_ablations
import search_advice
import search_scale
import search_seeds
from machine import RESULTS, write_result
from search_replays import replays
from search_rivals import DEV, RIVALS, Found

from peftcost.core.front import front
from peftcost.simulator.search import reference_of, simulate, true_hypervolume, true_points
from peftcost.simulator.table import RecordedTable, read_table

SHARES = (0.03, 0.06, 0.09, 0.15, 0.25)
"""Budgets, of what training every lineage of the table once takes."""
SEEDS = 20


def ours(table: RecordedTable, budget: float, seed: int) -> Found:
    entries = simulate(table, budget, seed, dev_size=DEV).entries
    measured = [e for e in entries if e["status"] == "measured"]
    return {e["id"]: (e["quality"], e["gpu_seconds"], float(e["peak_bytes"])) for e in measured}


def hypervolumes(table: RecordedTable) -> dict[str, Any]:
    """Per searcher and budget the true hypervolume of each seed."""
    truth, reference, ten_trainings = true_points(table), reference_of(table), 10 / len(table.lineages)
    shares = sorted({*SHARES, round(ten_trainings, 4)})
    found: dict[str, Any] = {}
    for name, searcher in {"peftcost": ours, **RIVALS}.items():
        started = time.monotonic()
        found[name] = {
            str(share): [
                true_hypervolume(table, chosen, truth, reference)
                for chosen in replays(partial(front_found, searcher, table, share), range(SEEDS))
            ]
            for share in shares
        }
        means = {share: round(float(np.mean(values)), 3) for share, values in found[name].items()}
        print(name, means, f"{time.monotonic() - started:.0f} s", flush=True)
    mean = {name: {share: float(np.mean(v)) for share, v in by_share.items()} for name, by_share in found.items()}
    return {
        "ten_mean_trainings": round(ten_trainings, 4),
        "mean": mean,
        "level_with_rivals_last": {rival: level_with_last(mean["peftcost"], mean[rival]) for rival in RIVALS},
        "lead": {str(share): leads(found, str(share)) for share in shares},
    }


def level_with_last(our: dict[str, float], theirs: dict[str, float]) -> float:
    """The budget at which we have what a rival has at its largest one; on a straight line between budgets."""
    *_, last = theirs.values()
    return float(np.interp(last, np.maximum.accumulate(list(our.values())), [float(share) for share in our]))


def front_found(
    searcher: Callable[[RecordedTable, float, int], Found], table: RecordedTable, share: float, seed: int
) -> list[str]:
    """The front that the searcher shows for this share of the table's cost."""
    return front(searcher(table, share * table.total_gpu_seconds, seed))


def leads(found: dict[str, Any], share: str) -> dict[str, Any]:
    """peftcost's mean lead over each rival at this budget, with a paired bootstrap's 95 % interval over seeds."""
    random = np.random.default_rng(0)
    our = np.array(found["peftcost"][share])
    found_leads = {}
    for name in RIVALS:
        lead = our - np.array(found[name][share])
        means = random.choice(lead, (4000, len(lead))).mean(axis=1)
        found_leads[name] = {"mean": float(lead.mean()), "interval": np.quantile(means, [0.025, 0.975]).tolist()}
    return found_leads


def draw(means: dict[str, Any], path: Path) -> None:
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for name, by_share in means.items():
        budgets = [100 * float(share) for share in by_share]
        axes.plot(budgets, list(by_share.values()), marker="o", lw=2.5 if name == "peftcost" else 1.2, label=name)
    axes.axhline(0.95, color="grey", lw=0.8, ls=":")
    axes.set_xlabel("budget, % of training every lineage of the table")
    axes.set_ylabel("share of the table's true hypervolume")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=130)


SECTIONS: dict[str, Callable[[RecordedTable], dict[str, Any]]] = {
    "hypervolume": hypervolumes,
    "advice": search_advice.advice,
    "intervals": search_advice.intervals,
    "budget": search_advice.budget,
    "ablations": search_ablations.ablations,
    "scale": search_scale.scale,
    "seeds": search_seeds.seeds,
}


def main(file: Path, names: list[str]) -> None:
    table, task = read_table(file), file.stem.removeprefix("table-")
    path = RESULTS / f"search_efficiency-{task}.json"
    info = {"lineages": len(table.lineages), "stops": table.stops, "gpu_seconds": table.total_gpu_seconds}
    for name in names:
        found = SECTIONS[name](table)
        print(json.dumps({name: found}, indent=1), flush=True)
        known = json.loads(path.read_text()) if path.exists() else {"recorded": {}, "sections": {}}
        recorded = {**known["recorded"], name: datetime.now(UTC).date().isoformat()}
        write_result(path.stem, {"table": info, "recorded": recorded, "sections": {**known["sections"], name: found}})
        if name == "hypervolume":
            draw(found["mean"], Path(__file__).parent.parent / "docs" / f"{path.stem}.png")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--table", type=Path, required=True)
    parser.add_argument("sections", nargs="*", default=list(SECTIONS), metavar="SECTION")
    asked = parser.parse_args()
    main(asked.table, asked.sections)
