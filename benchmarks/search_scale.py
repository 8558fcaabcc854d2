"""Whether deciding stays quick with many trials, and devices stay busy when there are many of them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from unittest import mock

import numpy as np
import optuna

from peftcost.core.measurement import Measurement
from peftcost.core.setup import Setup
from peftcost.core.statistics import NonInferiority
from peftcost.methods import get_method
from peftcost.methods.encoding import Space
from peftcost.searcher import controller, decide
from peftcost.searcher.evidence import Evidence
from peftcost.searcher.state import SearchState
from peftcost.simulator.search import TableProposals, prior_of, probe_of, simulate
from peftcost.simulator.table import Record, RecordedTable
from peftcost.tasks import get_task_type

TRIALS = 10_000
WORKERS = 1000
LINEAGES = 6000
STOPS = (300, 600, 1200)
DEV = 500
METHODS = {  # best quality in the end, best rate, gpu_seconds per example, peak
    "frozen": (0.66, 2e-3, 0.02, 120e6),
    "full": (0.76, 1e-4, 0.08, 500e6),
    "lora": (0.755, 1e-3, 0.06, 300e6),
    "bitfit": (0.72, 2e-3, 0.055, 280e6),
    "houlsby": (0.75, 1e-3, 0.065, 320e6),
}


def wide_table(lineages: int = LINEAGES) -> RecordedTable:
    """So many made-up lineages with random choices; quality falls with the distance from the method's best rate."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    random = np.random.default_rng(0)
    difficulty, names = random.random(DEV), list(METHODS)
    rows: dict[tuple[str, int], Record] = {}
    for number in range(lineages):
        name = names[number % len(names)]
        best, rate, per_example, peak = METHODS[name]
        method = get_method(name)
        choices = {**method.prior(), **drawn(method.space(), random)}
        apart = abs(np.log2(float(choices["learning_rate"] or 0) / rate))
        own = random.normal(0, 0.01)
        for stop in STOPS:
            setup = Setup.of(name, choices, stop)
            true = float(np.clip(best - 0.015 * apart - 0.08 * 300 / stop + own, 0.35, 0.9))
            right = 0.7 * difficulty + 0.3 * random.random(DEV) < true
            examples = np.stack([right, np.ones(DEV)], axis=1).astype(np.float32)
            loss = 1.2 - true + float(random.normal(0, 0.004))
            seconds = per_example * stop * float(np.exp(random.normal(0, 0.1)))
            for seed in (0, 1, 2):
                rows[setup.id, seed] = Record(setup, seed, loss, loss, seconds, 1.0, 0.004, int(peak), int(peak), examples)
    return RecordedTable(rows, get_task_type("text-classification").metrics["accuracy"])


def drawn(space: Space, random: np.random.Generator) -> dict[str, Any]:
    """Random choices of a method."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=int(random.integers(2**31))))
    return study.ask(dict(space)).params


def scale(table: RecordedTable) -> dict[str, Any]:
    """Of a made-up table that is wide enough; the recorded one is not looked at."""
    wide = wide_table()
    return {"one_decision": one_decision(wide), "many_workers": many_workers(wide)}


def one_decision(table: RecordedTable) -> dict[str, Any]:
    """Seconds of taking in one more result and of deciding what is next, with many trials in the store."""
    state = crowded_state(table)
    starts = {name: [next(s for s in state.setups().values() if s.arm == name)] for name in METHODS}  # all are opened
    proposals = TableProposals(table, starts, 0)
    evidence = Evidence(lambda setup_id, seed: table.records[setup_id, 0].examples, table.metric, 0)
    suggest = partial(proposals.suggest, state)
    seconds: dict[str, list[float]] = {"evidence": [], "decision": []}
    for number in range(30):
        started = time.perf_counter()
        replicates = evidence.replicates(state, state.config.most_compared)
        seconds["evidence"].append(time.perf_counter() - started)
        started = time.perf_counter()
        criterion = NonInferiority(table.metric.default_margin)
        decide.next_action(decide.Moment(state, starts, suggest, replicates, criterion, state.last_t))
        seconds["decision"].append(time.perf_counter() - started)
        measure(state, TRIALS + number, list(table.records.values())[3 * (TRIALS + number)])
    return {"trials": len(state.trials), **{name: median_and_most(found) for name, found in seconds.items()}}


def crowded_state(table: RecordedTable) -> SearchState:
    """A search that has measured so many trials, with budget left for as many."""
    state = SearchState()
    probes = {name: probe_of(table, prior_of(table, name)).as_dict() for name in METHODS}
    facts = {"infeasible": {}, "dev_rows": DEV, "test_rows": 0, "train_rows": STOPS[-1]}
    names = list(METHODS)
    state.apply({"event": "budget", "t": 0.0, "limit_gpu_seconds": 1e6})
    state.apply({"event": "acquired", "t": 0.0, "device": 0, "category": "startup"})
    state.apply({"event": "planned", "t": 0.0, "probes": probes, "methods": names, "stops": table.stops, **facts})
    for number, row in zip(range(TRIALS), list(table.records.values())[::3], strict=False):
        measure(state, number, row)
    return state


def measure(state: SearchState, number: int, row: Record) -> None:
    """Take in a trial with its measurement."""
    setup, t = row.setup, 10.0 + number
    names = {"trial": number, "setup": setup.as_dict(), "id": setup.id, "lineage": setup.lineage, "seed": 0, "device": 0}
    predicted = vars(state.cost.predict(setup))
    state.apply({"event": "started", "t": t, **names, "role": "explore", "parent": None, "predicted": predicted})
    quality = float((row.examples[:, 0] == row.examples[:, 1]).mean())
    costs = {"gpu_seconds": row.gpu_seconds, "startup_seconds": 1.0, "peak_bytes": row.peak_bytes}
    others = {"process_peak_bytes": 0, "latency_seconds": 0.0, "artifact_bytes": 0}
    counts = {"trainable_parameters": 0, "total_parameters": 0}
    found = Measurement(0, "explore", quality, row.train_loss, row.dev_loss, **costs, **others, **counts)
    state.apply({"event": "measured", "t": t, "trial": number, "measurement": found.as_dict()})


def many_workers(table: RecordedTable) -> dict[str, Any]:
    """Devices that are taken away and slow ones: how much of the time that they are held they work."""
    with timed_decisions() as seconds:
        limit = 0.15 * table.total_gpu_seconds
        found = simulate(table, limit, 0, dev_size=DEV, devices=WORKERS, slowness=0.3, crashes=0.05)
    totals, spent = found.state.ledger.totals(), found.spent_gpu_seconds
    return {
        "workers": WORKERS,
        "trials": len(found.state.trials),
        "busy": 1 - totals["idle"] / spent,
        "lost": totals["lost"] / spent,
        "spent_over_budget": spent / limit,
        "because": found.because,
        "decision": median_and_most(seconds),
        "deciding_over_budget": sum(seconds) / limit,
    }


@contextmanager
def timed_decisions() -> Iterator[list[float]]:
    """The seconds that each decision of a search takes."""
    seconds: list[float] = []
    plain = decide.next_action

    def timed(*arguments: Any) -> Any:
        started = time.perf_counter()
        action = plain(*arguments)
        seconds.append(time.perf_counter() - started)
        return action

    with mock.patch.object(controller.decide, "next_action", timed):
        yield seconds


def median_and_most(values: list[float]) -> dict[str, float]:
    return {"median": float(np.median(values)), "most": float(np.max(values)), "n": len(values)}
