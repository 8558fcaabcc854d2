"""What people search with today, on a recorded table: each spends a budget and shows what it measured."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from importlib.util import find_spec

import numpy as np
import optuna

from peftcost.core.front import Point
from peftcost.core.setup import Setup
from peftcost.core.statistics import plain_value
from peftcost.cost.model import FIXED_SECONDS, stable_examples
from peftcost.methods import get_method
from peftcost.searcher.config import DEFAULT_CONFIG
from peftcost.simulator.search import prior_of
from peftcost.simulator.table import Record, RecordedTable, draw_replay, nearest
from peftcost.tasks.metrics import accuracy

ETA = 2
DEV = 1500
Found = dict[str, Point]
"""Setup id -> what was measured of it."""


class Purse:
    """Pays for trainings out of a budget, and remembers what they showed."""

    def __init__(self, table: RecordedTable, budget: float, seed: int) -> None:
        self.table, self.left, self.found = table, budget, Found()
        self.replay = draw_replay(table, DEV, np.random.default_rng(seed))

    def train(self, lineage: Setup, to: int, since: int | None = None, in_one_go: bool = False) -> bool:
        """Train a lineage to a stop, from the checkpoint of another or from the start. False when it cannot be paid.
        in_one_go: its process still runs and need not start again."""
        record = self.record(lineage.until(to))
        paid, alone = 0.0, get_method(lineage.method).fixed_horizon
        since = None if alone else since
        if since is not None:
            paid = record.gpu_seconds * stable_examples(lineage.until(since)) / to
        predicting = record.evaluation_seconds_per_example * DEFAULT_CONFIG.explore_dev_rows
        starting = 0.0 if in_one_go else record.startup_seconds + FIXED_SECONDS
        needs = starting + record.gpu_seconds - paid + predicting
        if needs > self.left:
            return False
        self.left -= needs
        for stop in self.table.stops:
            if (since or 0) < stop <= to and (stop == to or not alone):
                seen = self.record(lineage.until(stop))
                quality = plain_value(self.replay.seen(seen, all_of_dev=False), accuracy)
                self.found[seen.setup.id] = (quality, seen.gpu_seconds, float(seen.peak_bytes))
        return True

    def record(self, setup: Setup) -> Record:
        """What training it shows, all with one seed, as our search's exploring."""
        record = self.replay.record(setup, 0)
        assert record is not None
        return record


def lineages_of(table: RecordedTable) -> list[Setup]:
    return sorted(table.lineages.values(), key=lambda setup: setup.lineage)


def random_search(table: RecordedTable, budget: float, seed: int) -> Found:
    purse, every = Purse(table, budget, seed), lineages_of(table)
    for at in np.random.default_rng(seed).permutation(len(every)):
        purse.train(every[at], table.stops[-1])
    return purse.found


def informed_grid(table: RecordedTable, budget: float, seed: int) -> Found:
    """Each method's literature default, then a third and three times its rate; methods in a random order."""
    purse = Purse(table, budget, seed)
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


def by_optuna(table: RecordedTable, budget: float, seed: int, sampler: optuna.samplers.BaseSampler) -> Found:
    """One study over method and choices, three objectives, full trainings; a proposal is the nearest that was not tried."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    purse, tried = Purse(table, budget, seed), set[str]()
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
        quality, cost, memory = purse.found[setup.until(table.stops[-1]).id]
        study.tell(trial, [quality, cost, memory])
    return purse.found


def nsga2(table: RecordedTable, budget: float, seed: int) -> Found:
    return by_optuna(table, budget, seed, optuna.samplers.NSGAIISampler(seed=seed, population_size=8))


def tpe(table: RecordedTable, budget: float, seed: int) -> Found:
    return by_optuna(
        table, budget, seed, optuna.samplers.TPESampler(seed=seed, multivariate=True, group=True, n_startup_trials=8)
    )


def asha(table: RecordedTable, budget: float, seed: int) -> Found:
    """Random proposals; a lineage goes on when it is among the best half of its rung by dev quality (Li et al. 2020)."""
    purse, every = Purse(table, budget, seed), lineages_of(table)
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
        rungs[rung + 1][setup.lineage] = purse.found[setup.until(to).id][0]


def mo_asha(table: RecordedTable, budget: float, seed: int) -> Found:
    """syne-tune's MO-ASHA (Schmucker et al. 2021): random proposals, each stopped where too many dominate it at its rung."""
    from syne_tune.backend.trial_status import Trial
    from syne_tune.optimizer.scheduler import SchedulerDecision
    from syne_tune.optimizer.schedulers.multiobjective.moasha import MOASHA

    purse, every = Purse(table, budget, seed), lineages_of(table)
    metrics = ["error", "gpu_seconds", "peak_bytes"]
    first, longest = table.stops[0], table.stops[-1]
    scheduler = MOASHA(
        {}, metrics, time_attr="stop", max_t=longest, grace_period=first, reduction_factor=ETA, random_seed=seed
    )
    for at in np.random.default_rng(seed).permutation(len(every)):
        trial = Trial(int(at), {}, datetime.now())
        scheduler.on_trial_add(trial)
        since = None
        for stop in table.stops:
            if not purse.train(every[at], stop, since, in_one_go=since is not None):
                break
            quality, cost, memory = purse.found[every[at].until(stop).id]
            result = {"stop": stop, **dict(zip(metrics, (1 - quality, cost, memory), strict=True))}
            if scheduler.on_trial_result(trial, result) == SchedulerDecision.STOP:
                break
            since = stop
    return purse.found


RIVALS = {
    "random": random_search,
    "informed grid": informed_grid,
    "NSGA-II": nsga2,
    "multi-objective TPE": tpe,
    "ASHA": asha,
}
if find_spec("syne_tune") is not None:  # pip install --no-deps syne-tune dill sortedcontainers
    RIVALS["MO-ASHA (syne-tune)"] = mo_asha
