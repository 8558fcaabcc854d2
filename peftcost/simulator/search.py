"""The search itself, decisions, books and all, on a table and a fake clock."""

from __future__ import annotations

import math
import statistics
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from peftcost.core.front import Point
from peftcost.core.hypervolume import hypervolume
from peftcost.core.setup import Scalar, Setup
from peftcost.core.statistics import NonInferiority, Replicates
from peftcost.cost.device import Device
from peftcost.cost.model import Probe
from peftcost.errors import UserError
from peftcost.methods import get_method
from peftcost.methods.encoding import encode
from peftcost.recommend.advise import advise
from peftcost.recommend.policies import Recommendation
from peftcost.recommend.result import setup_entries
from peftcost.runner.slot import slots_of
from peftcost.searcher.config import DEFAULT_CONFIG, SearchConfig
from peftcost.searcher.controller import Controller, SearchRun
from peftcost.searcher.decide import references_of
from peftcost.searcher.evidence import Evidence
from peftcost.searcher.explore import StartingPoints
from peftcost.searcher.forecast import BudgetForecast
from peftcost.searcher.planner import starting_points
from peftcost.searcher.proposals import Proposals
from peftcost.searcher.state import SearchState
from peftcost.simulator.executor import Clock, SimulatedExecutor
from peftcost.simulator.table import RecordedTable, draw_replay, nearest
from peftcost.store.journal import Journal
from peftcost.store.run_folder import RunFolder
from peftcost.store.study import Study

PROBE_EXAMPLES = 128
"""What probing a method takes beside its start, in examples trained: a few steps, a few predictions, the memory."""


@dataclass(frozen=True)
class Outcome:
    """What a simulated search found. entries: as in result.json. forecast: of the same budget again. spent_gpu_seconds: of
    limit_gpu_seconds; wall_seconds: on the clock."""

    state: SearchState
    entries: list[dict[str, Any]]
    replicates: Replicates | None
    recommendation: Recommendation | None
    forecast: BudgetForecast | None
    spent_gpu_seconds: float
    limit_gpu_seconds: float
    wall_seconds: float
    because: str


class TableProposals(Proposals):
    """Proposes what the table has."""

    def __init__(self, table: RecordedTable, starts: StartingPoints, seed: int) -> None:
        super().__init__({name: get_method(name).space() for name in starts}, starts, seed)
        self._recorded: dict[tuple[str, int], tuple[list[Setup], np.ndarray]] = {}
        self.table = table

    def setup_of(self, arm: str, choices: Mapping[str, Scalar], stop_examples: int, known: set[str]) -> Setup | None:
        """The nearest of the arm's recorded ones that is not known."""
        setups, vectors = self._recorded_of(arm, stop_examples)
        apart = np.linalg.norm(vectors - encode(choices, self.spaces[arm]), axis=1)
        return next((setups[at] for at in np.argsort(apart, kind="stable") if setups[at].id not in known), None)

    def _recorded_of(self, arm: str, stop_examples: int) -> tuple[list[Setup], np.ndarray]:
        """The arm's recorded setups of this length, by id, and their vectors."""
        if (arm, stop_examples) not in self._recorded:
            of_arm = [s.until(stop_examples) for s in self.table.lineages.values() if s.arm == arm]
            setups = sorted(of_arm, key=lambda setup: setup.id)
            vectors = np.array([encode(setup.hyperparameters, self.spaces[arm]) for setup in setups])
            self._recorded[arm, stop_examples] = setups, vectors
        return self._recorded[arm, stop_examples]


def simulate(
    table: RecordedTable,
    limit_gpu_seconds: float,
    seed: int,
    *,
    dev_size: int = 1500,
    criterion: NonInferiority | None = None,
    wall_seconds: float | None = None,
    prior_runs: Mapping[str, Any] | None = None,
    priors: Mapping[str, Setup] | None = None,
    devices: int = 1,
    devices_per_setup: int = 1,
    slowness: float = 0.0,
    crashes: float = 0.0,
    floor: float | None = None,
    config: SearchConfig = DEFAULT_CONFIG,
) -> Outcome:
    """Search the table with this budget. The seed decides the world, the proposals and what is disturbed. prior_runs: of
    earlier runs, as `peftcost.recipe.warm_start` gives them. priors: each method's first setup, the prior-best one
    if not given. criterion: the metric's default margin if not given. floor: what the simplest baseline reaches, the metric's
    least if not given. config: the numbers that it decides by.

    UserError when the budget is too small to begin.
    """
    criterion = criterion or NonInferiority(table.metric.default_margin)
    random = np.random.default_rng(seed)
    replay, clock = draw_replay(table, dev_size, random, config), Clock()
    held = [Device("cpu", "simulated", i, 1) for i in range(devices)]
    slots = slots_of(devices, devices_per_setup)
    executor = SimulatedExecutor(replay, clock, held, slots, random, slowness, crashes)
    state = SearchState()
    controller = Controller(executor, Journal(monotonic=clock), state)
    controller.record("budget", limit_gpu_seconds=limit_gpu_seconds, wall_seconds=wall_seconds)
    controller.acquire()
    methods = sorted({setup.method for setup in table.lineages.values()})
    priors = priors or {name: prior_of(table, name) for name in methods}
    probes = {name: probe_of(table, priors[name]) for name in methods}
    cheapest = min(methods, key=lambda name: probes[name].seconds_per_example)
    by_rank = sorted(methods, key=lambda name: (get_method(name).priority, name))
    references = references_of(by_rank, [cheapest])
    probing = sum(probe.startup_seconds + PROBE_EXAMPLES * probe.seconds_per_example for probe in probes.values())
    clock.seconds += probing / devices
    if probing > limit_gpu_seconds:
        raise UserError(f"{limit_gpu_seconds:.0f} gpu-s do not pay for probing, which takes {probing:.0f}.")
    controller.record(
        "planned",
        config=config.as_dict(),
        probes={name: probe.as_dict() for name, probe in probes.items()},
        infeasible={},
        methods=list(dict.fromkeys([*references, *by_rank])),
        references=references,
        stops=table.stops,
        dev_sample=replay.sample,
        train_rows=table.stops[-1],
        dev_rows=len(replay.chosen),
        test_rows=0,
        floor=table.metric.limits[0] if floor is None else floor,
        limits=[limit if math.isfinite(limit) else None for limit in table.metric.limits],
    )
    if prior_runs is not None:
        controller.record("warmed", **prior_runs)
    spaces = {name: get_method(name).space() for name in methods}
    starts = {
        name: list(dict.fromkeys(recorded_like(table, setup) for setup in setups))
        for name, setups in starting_points(state, priors, spaces).items()
    }
    proposals = TableProposals(table, starts, seed)
    evidence = Evidence(lambda setup_id, job_seed: executor.rows[setup_id, job_seed], table.metric, seed)
    with tempfile.TemporaryDirectory(prefix="peftcost-simulated-") as folder:
        run = SearchRun(
            folder=RunFolder(Path(folder)),
            study=Study(None, "simulated", proposals.spaces),
            proposals=proposals,
            evidence=evidence,
            prepared={"simulated": ""},
            metric=table.metric,
            criterion=criterion,
            seed=0,
        )
        because = controller.search(run)
    controller.release()
    replicates = evidence.replicates(state)
    entries = setup_entries(state, replicates)
    recommendation = more = None
    if replicates is not None:
        suggest = partial(proposals.suggest, state)
        recommendation, more = advise(state, entries, replicates, criterion, len(replay.chosen), suggest)
    spent = state.ledger.spent()
    return Outcome(state, entries, replicates, recommendation, more, spent, limit_gpu_seconds, clock(), because)


def prior_of(table: RecordedTable, method: str) -> Setup:
    """The method's prior-best setup, or what the table has nearest to it, at the first stop."""
    return recorded_like(table, Setup(method, get_method(method).prior(), table.stops[0]))


def recorded_like(table: RecordedTable, setup: Setup) -> Setup:
    """What the table has nearest to the setup, at the setup's length."""
    of_method = [found for found in table.lineages.values() if found.method == setup.method]
    found = nearest(of_method, setup.hyperparameters, dict(get_method(setup.method).space()))
    assert found is not None
    return found.until(setup.stop_examples)


def probe_of(table: RecordedTable, prior: Setup) -> Probe:
    """What a probe of a method's prior-best setup would have shown."""
    longest = prior.until(table.stops[-1])
    rows = [table.records[longest.id, seed] for seed in table.seeds(longest.id)]
    return Probe(
        startup_seconds=statistics.median(record.startup_seconds for record in rows),
        seconds_per_example=statistics.median(record.gpu_seconds for record in rows) / longest.stop_examples,
        evaluation_seconds_per_example=statistics.median(record.evaluation_seconds_per_example for record in rows),
        peak_bytes=rows[0].peak_bytes,
        trainable_parameters=0,
        total_parameters=table.total_parameters,
        predicted_peak_bytes=rows[0].peak_bytes,
        layers=table.layers,
        top_layers=longest.hyperparameters.get("top_layers"),
    )


def reference_of(table: RecordedTable) -> Point:
    """The worst true quality, and a cost and a memory just beyond the dearest."""
    worst = min(table.truth(setup_id) for setup_id, _ in table.records)
    dearest = max(record.gpu_seconds for record in table.records.values())
    return worst, 1.01 * dearest, 1.01 * max(record.peak_bytes for record in table.records.values())


def true_points(table: RecordedTable) -> dict[str, Point]:
    """What every setup of the table is worth in truth."""
    setups = {record.setup.id: record for record in table.records.values()}
    return {
        setup_id: (table.truth(setup_id), table.cost(record.setup), float(record.peak_bytes))
        for setup_id, record in setups.items()
    }


def true_hypervolume(table: RecordedTable, chosen: list[str], truth: Mapping[str, Point], reference: Point) -> float:
    """Of what was chosen, as a share of the whole table's."""
    every = hypervolume(list(truth.values()), reference)
    return hypervolume([truth[setup_id] for setup_id in chosen], reference) / every
