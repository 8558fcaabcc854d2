"""Two versions of the search, replayed on the recorded tables with the same seeds.

python benchmarks/search_paired.py record FILE [--tables tweets,reviews] [--seeds 16] [--shares 0.09,0.25] [--margin 0.01]
                                   [--config JSON]
    one line of JSON a replay; run it in each of two checkouts, or with numbers of the search's config changed. What stands
    in FILE is not replayed again.
python benchmarks/search_paired.py compare FILE FILE ...
    what differs from the first, a table and budget at a time: hypervolume, how far the advice lies below the table's best,
    its cost over that of the cheapest as good, and how often what is confirmed is wrong against the whole table, and, where
    table-NAME-longer.parquet tells it, against the reference methods at six epochs.
python benchmarks/search_paired.py confirmed FILE ...
    of each file, a table at a time, how much is shown to be as good, how much of that is confirmed, and how much of each is
    wrong.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from machine import RESULTS
from table_plans import LONGER

from peftcost.core.front import front
from peftcost.core.statistics import NonInferiority
from peftcost.recommend.caveats import overtaken
from peftcost.searcher.config import DEFAULT_CONFIG, SearchConfig
from peftcost.simulator.search import Outcome, reference_of, simulate, true_hypervolume, true_points
from peftcost.simulator.table import RecordedTable, read_table

TABLES = ("tweets", "reviews", "metamath", "wnut16")
Replay = dict[str, Any]


def replay(name: str, share: float, seed: int, margin: float, config: SearchConfig) -> Replay:
    """One search, judged by the truth of the table."""
    table = read_table(RESULTS / f"table-{name}.parquet")
    truth = true_points(table)
    found = simulate(
        table, share * table.total_gpu_seconds, seed, dev_size=1500, criterion=NonInferiority(margin), config=config
    )
    measured = [entry for entry in found.entries if entry["status"] == "measured"]
    chosen = front({e["id"]: (e["quality"], e["gpu_seconds"], float(e["peak_bytes"])) for e in measured})
    told: Replay = {"table": name, "share": share, "seed": seed, "setups": len(measured)}
    told["hypervolume"] = true_hypervolume(table, chosen, truth, reference_of(table))
    if found.recommendation is not None:
        best = max(quality for quality, _, _ in truth.values())
        longer = max(best, best_of_longer(name, table))
        cheapest = min(cost for quality, cost, _ in truth.values() if quality >= best - margin)
        quality, cost, _ = truth[found.recommendation.id]
        told |= {"confirmed": found.recommendation.confirmed, "short": best - quality, "cost": cost / cheapest}
        told |= {"better_chance": found.state.better_chance, "overtaken": is_overtaken(found, margin)}
        told |= {"wrong": best - quality > margin + 1e-9, "wrong_longer": longer - quality > margin + 1e-9}
        quality, cost, _ = truth[cheapest_observed(measured, margin)]
        told |= {"short_observed": best - quality, "cost_observed": cost / cheapest}
    return told


def is_overtaken(found: Outcome, margin: float) -> bool:
    """Whether its advice would be confirmed, were it not that something better is likely."""
    caveat = overtaken(found.state, margin)
    return found.recommendation is not None and caveat is not None and found.recommendation.caveats == (caveat,)


def cheapest_observed(measured: list[dict[str, Any]], margin: float) -> str:
    """What people would take: the cheapest whose own reading lies within the margin of the best reading."""
    bar = max(entry["reading"] for entry in measured) - margin
    return str(min((e for e in measured if e["reading"] >= bar), key=lambda e: e["gpu_seconds"])["id"])


def best_of_longer(name: str, table: RecordedTable) -> float:
    """The best quality that the reference methods have at stops beyond the table's, which no replay can reach: what they gain
    on the table's last stop with the same seeds, and what they are worth there. The table has more seeds."""
    file = RESULTS / f"table-{name}{LONGER}.parquet"
    if not file.exists():
        return -np.inf
    longer = read_table(file)
    setups = {record.setup.id: record.setup for record in longer.records.values()}
    known = {setup.lineage: setup.id for setup in setups.values() if any(setup.id == s for s, _ in table.records)}
    gains = [(known[s.lineage], longer.truth(s.id) - longer.truth(known[s.lineage])) for s in setups.values()]
    return max(table.truth(setup_id) + gain for setup_id, gain in gains)


def record(
    out: Path, tables: Iterable[str], seeds: int, shares: Iterable[float], margin: float, config: SearchConfig
) -> None:
    known = {key_of(json.loads(line)) for line in out.open(encoding="utf-8")} if out.exists() else set()
    with out.open("a", encoding="utf-8") as file:
        for key in product(tables, shares, range(seeds)):
            if key not in known:
                print(json.dumps(replay(*key, margin, config)), file=file, flush=True)


def key_of(row: Replay) -> tuple[str, float, int]:
    return row["table"], row["share"], row["seed"]


def compare(files: list[Path]) -> None:
    every = [{key_of(row): row for row in map(json.loads, file.open(encoding="utf-8"))} for file in files]
    common = [key for key in every[0] if all(key in replays and "short" in replays[key] for replays in every)]
    for group in dict.fromkeys(key[:2] for key in common):
        keys = [key for key in common if key[:2] == group]
        print(*group, f"({len(keys)} seeds)")
        for file, replays in zip(files, every, strict=True):
            rows = [replays[key] for key in keys]
            gain = np.array([replays[key]["hypervolume"] - every[0][key]["hypervolume"] for key in keys])
            confirmed = [row for row in rows if row["confirmed"]]
            print(
                f"  {file.name}: hypervolume {mean_of(rows, lambda r: r['hypervolume']):.3f} "
                f"({gain.mean():+.4f} ± {gain.std() / len(gain) ** 0.5:.4f}), "
                f"advice {mean_of(rows, lambda r: r['short']):.4f} below the best at "
                f"{np.exp(mean_of(rows, lambda r: np.log(r['cost']))):.2f} of the cost, "
                f"(cheapest observed {mean_of(rows, lambda r: r.get('short_observed', np.nan)):.4f} at "
                f"{np.exp(mean_of(rows, lambda r: np.log(r.get('cost_observed', np.nan)))):.2f}), "
                f"confirmed {len(confirmed)}, of these wrong {sum(row['wrong'] for row in confirmed)}, "
                f"at longer stops {sum(row.get('wrong_longer', row['wrong']) for row in confirmed)}"
            )


def confirmed(files: list[Path]) -> None:
    for file in files:
        rows = [row for row in map(json.loads, file.open(encoding="utf-8")) if "short" in row]
        for group in dict.fromkeys((row["table"], row["share"]) for row in rows):
            own = [row for row in rows if (row["table"], row["share"]) == group]
            said = [f"{file.name}: {group[0]} {group[1]} ({len(own)} searches)"]
            for name, among in (("shown", ("confirmed", "overtaken")), ("confirmed", ("confirmed",))):
                found = [row for row in own if any(row[each] for each in among)]
                longer = sum(row["wrong_longer"] for row in found)
                said.append(f"{name} {len(found)}, wrong {sum(row['wrong'] for row in found)} (at longer stops {longer})")
            print("; ".join(said))


def mean_of(rows: list[Replay], figure: Callable[[Replay], float]) -> float:
    return float(np.mean([figure(row) for row in rows]))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("record")
    one.add_argument("out", type=Path)
    one.add_argument("--tables", default=",".join(TABLES))
    one.add_argument("--seeds", type=int, default=16)
    one.add_argument("--shares", default="0.09,0.25")
    one.add_argument("--margin", type=float, default=0.01)
    one.add_argument("--config", type=json.loads, default={})
    two = commands.add_parser("compare")
    two.add_argument("files", type=Path, nargs="+")
    three = commands.add_parser("confirmed")
    three.add_argument("files", type=Path, nargs="+")
    asked = parser.parse_args()
    if asked.command == "compare":
        compare(asked.files)
    elif asked.command == "confirmed":
        confirmed(asked.files)
    else:
        shares = [float(share) for share in asked.shares.split(",")]
        record(asked.out, asked.tables.split(","), asked.seeds, shares, asked.margin, replace(DEFAULT_CONFIG, **asked.config))
