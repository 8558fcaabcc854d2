"""How much of a table's best trade-offs a search finds for a budget, against what people use today.

python benchmarks/search_efficiency.py TABLE.parquet [SEEDS]     a table as benchmarks/record_table.py writes it.

Everybody pays the same for the same: start-up, training, predicting dev, saving. Rivals train to the last stop (ASHA goes on
from stop to stop), pass over what they cannot pay, and get credit for every stop that they pass, without paying for
predicting dev there. Judged is the true quality (test rows of other seeds) of the front that each would show, as hypervolume
on log cost and log memory, over that of the whole table. Writes results/search_efficiency-NAME.json and
docs/search_efficiency-NAME.png.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import optuna
from machine import write_result

from peftcost.core.front import Point, front
from peftcost.core.setup import Setup
from peftcost.cost.model import FIXED_SECONDS, trunk_examples
from peftcost.methods import get_method
from peftcost.simulator.search import (
    chosen_front,
    prior_of,
    reference_of,
    simulate,
    true_hypervolume,
    true_points,
)
from peftcost.simulator.table import Table, nearest, read_table

SHARES = (0.03, 0.06, 0.09, 0.15, 0.25)
"""Budgets, of what training every lineage of the table once takes."""
ETA = 2
Found = dict[str, Point]
"""Setup id -> what was measured of it."""


class Purse:
    """Pays for trainings out of a budget, and remembers what they showed."""

    def __init__(self, table: Table, budget: float) -> None:
        self.table, self.left, self.found = table, budget, Found()

    def train(self, lineage: Setup, to: int, since: int | None = None) -> bool:
        """Train a lineage to a stop, from the checkpoint of another or from the start. False when it cannot be paid."""
        row = self.table.rows[replace(lineage, stop_examples=to).id, 0]
        paid, alone = 0.0, get_method(lineage.method).fixed_horizon
        since = None if alone else since
        if since is not None:
            paid = row.gpu_seconds * trunk_examples(replace(lineage, stop_examples=since)) / to
        needs = row.startup_seconds + row.gpu_seconds - paid + row.evaluation_seconds + FIXED_SECONDS
        if needs > self.left:
            return False
        self.left -= needs
        for stop in self.table.stops:
            if (since or 0) < stop <= to and (stop == to or not alone):
                seen = self.table.rows[replace(lineage, stop_examples=stop).id, 0]
                self.found[seen.setup.id] = (seen.quality, seen.gpu_seconds, float(seen.peak_bytes))
        return True


def lineages_of(table: Table) -> list[Setup]:
    return sorted(table.lineages.values(), key=lambda setup: setup.lineage)


def random_search(table: Table, budget: float, seed: int) -> Found:
    purse, every = Purse(table, budget), lineages_of(table)
    for at in np.random.default_rng(seed).permutation(len(every)):
        purse.train(every[at], table.stops[-1])
    return purse.found


def informed_grid(table: Table, budget: float, seed: int) -> Found:
    """Each method's literature default, then a third and three times its rate; methods in a random order."""
    purse = Purse(table, budget)
    methods = sorted({setup.method for setup in table.lineages.values()})
    order = np.random.default_rng(seed).permutation(len(methods))
    tried: set[str] = set()
    for factor in (1.0, 1 / 3, 3.0):
        for at in order:
            method = methods[at]
            prior = prior_of(table, method).hyperparameters
            wanted = {**prior, "learning_rate": factor * float(prior["learning_rate"] or 0)}
            of_method = [s for s in lineages_of(table) if s.method == method and s.lineage not in tried]
            setup = nearest(of_method, wanted, dict(get_method(method).space()))
            if setup is None:
                continue
            tried.add(setup.lineage)
            purse.train(setup, table.stops[-1])
    return purse.found


def by_optuna(table: Table, budget: float, seed: int, sampler: optuna.samplers.BaseSampler) -> Found:
    """One study over method and choices, three objectives, full trainings; a proposal is the nearest that was not tried."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    purse, tried = Purse(table, budget), set[str]()
    study = optuna.create_study(directions=["maximize", "minimize", "minimize"], sampler=sampler)
    methods = sorted({setup.method for setup in table.lineages.values()})
    while len(tried) < len(table.lineages):
        trial = study.ask()
        method = trial.suggest_categorical("method", methods)
        space = get_method(method).space()
        choices = {name: trial._suggest(f"{method}.{name}", distribution) for name, distribution in space.items()}
        untried = [s for s in lineages_of(table) if s.lineage not in tried]
        setup = nearest([s for s in untried if s.method == method], choices, space) or untried[0]
        tried.add(setup.lineage)
        if not purse.train(setup, table.stops[-1]):
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
            continue
        quality, cost, memory = purse.found[replace(setup, stop_examples=table.stops[-1]).id]
        study.tell(trial, [quality, cost, memory])
    return purse.found


def nsga2(table: Table, budget: float, seed: int) -> Found:
    return by_optuna(table, budget, seed, optuna.samplers.NSGAIISampler(seed=seed, population_size=8))


def tpe(table: Table, budget: float, seed: int) -> Found:
    return by_optuna(
        table, budget, seed, optuna.samplers.TPESampler(seed=seed, multivariate=True, group=True, n_startup_trials=8)
    )


def asha(table: Table, budget: float, seed: int) -> Found:
    """Random proposals; a lineage goes on when it is among the best half of its rung by dev quality (Li et al. 2020)."""
    purse, every = Purse(table, budget), lineages_of(table)
    waiting: Iterator[int] = iter(np.random.default_rng(seed).permutation(len(every)))
    rungs: list[dict[str, float]] = [{} for _ in table.stops]
    promoted: list[set[str]] = [set() for _ in table.stops]
    while True:
        for rung in reversed(range(len(table.stops) - 1)):
            ranked = sorted(rungs[rung], key=lambda name: -rungs[rung][name])
            best = [name for name in ranked[: len(ranked) // ETA] if name not in promoted[rung]]
            if best:
                promoted[rung].add(best[0])
                setup, to, since = table.lineages[best[0]], table.stops[rung + 1], table.stops[rung]
                break
        else:
            at = next(waiting, None)
            if at is None:
                return purse.found
            rung, setup, to, since = -1, every[at], table.stops[0], None
        if not purse.train(setup, to, since):
            continue  # something else may be cheaper
        rungs[rung + 1][setup.lineage] = purse.found[replace(setup, stop_examples=to).id][0]


def ours(table: Table, budget: float, seed: int) -> Found:
    entries = simulate(table, budget, seed).entries
    chosen = set(chosen_front(entries))
    return {e["id"]: (e["quality"], e["gpu_seconds"], float(e["peak_bytes"])) for e in entries if e["id"] in chosen}


SEARCHERS: dict[str, Callable[[Table, float, int], Found]] = {
    "peftcost": ours,
    "random": random_search,
    "informed grid": informed_grid,
    "NSGA-II": nsga2,
    "multi-objective TPE": tpe,
    "ASHA": asha,
}


def compare(table: Table, seeds: int) -> dict[str, Any]:
    truth, reference, total = true_points(table), reference_of(table), table.total_gpu_seconds
    found: dict[str, Any] = {}
    for name, searcher in SEARCHERS.items():
        started = time.monotonic()
        shares = {
            share: [true_hypervolume(table, front(searcher(table, share * total, s)), truth, reference) for s in range(seeds)]
            for share in SHARES
        }
        found[name] = {str(share): values for share, values in shares.items()}
        print(name, {share: round(float(np.mean(v)), 3) for share, v in shares.items()},
              f"{time.monotonic() - started:.0f} s", flush=True)  # fmt: skip
    return found


def paired(found: dict[str, Any], share: str) -> dict[str, Any]:
    """peftcost's mean lead over each rival at this budget, with a paired bootstrap's 95 % interval over seeds."""
    random = np.random.default_rng(0)
    ours_ = np.array(found["peftcost"][share])
    leads = {}
    for name, by_share in found.items():
        if name != "peftcost":
            lead = ours_ - np.array(by_share[share])
            means = random.choice(lead, (4000, len(lead))).mean(axis=1)
            leads[name] = {"mean": float(lead.mean()), "interval": np.quantile(means, [0.025, 0.975]).tolist()}
    return leads


def draw(found: dict[str, Any], path: Path) -> None:
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for name, by_share in found.items():
        means = [float(np.mean(by_share[str(share)])) for share in SHARES]
        axes.plot([100 * share for share in SHARES], means, marker="o", lw=2.5 if name == "peftcost" else 1.2, label=name)
    axes.axhline(0.95, color="grey", lw=0.8, ls=":")
    axes.set_xlabel("budget, % of training every lineage of the table")
    axes.set_ylabel("share of the table's true hypervolume")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=130)


def main(file: str, seeds: int) -> None:
    table, name = read_table(Path(file)), Path(file).stem.removeprefix("table-")
    found = compare(table, seeds)
    facts = {
        "table": {"lineages": len(table.lineages), "stops": table.stops, "gpu_seconds": table.total_gpu_seconds},
        "seeds": seeds,
        "hypervolume": {n: {s: float(np.mean(v)) for s, v in by.items()} for n, by in found.items()},
        "lead": {str(share): paired(found, str(share)) for share in SHARES},
    }
    write_result(f"search_efficiency-{name}", facts)
    draw(found, Path(__file__).parent.parent / "docs" / f"search_efficiency-{name}.png")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 20)
