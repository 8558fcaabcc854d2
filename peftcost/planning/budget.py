"""What a budget buys a search: the one part of planning that knows how a search spends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from peftcost.core.setup import Setup
from peftcost.core.statistics import CONFIRM_SEEDS
from peftcost.cost.model import CostModel, Probe
from peftcost.planning.predict import PlannedSetup
from peftcost.planning.subject import Subject
from peftcost.searcher.config import DEFAULT_CONFIG
from peftcost.searcher.decide import references_of
from peftcost.searcher.planner import needs_of
from peftcost.searcher.stops import choose_stops

STARTUP_SECONDS = 1.0
"""Loading a base, when nothing was measured yet."""


def what_it_buys(
    subject: Subject, setups: Sequence[PlannedSetup], limit_gpu_seconds: float, answering_seconds: float = 0.0
) -> dict[str, Any]:
    """The length and the number of trainings that a search of this budget comes to; each method's first setup counts.
    answering_seconds: what a contender takes to write at the end."""
    first = {s.method: s for s in reversed(setups) if s.reason is None and (s.fits or s.would_fit_with)}
    if not first:
        return {"stop_examples": 0, "epochs": 0.0, "methods": [], "setups": 0, "confirmations": 0}
    forward = min(s.gpu_seconds for s in first.values()) / subject.rows  # the cheapest method is hardly more than that
    probes = {
        name: Probe(
            STARTUP_SECONDS,
            s.gpu_seconds / subject.rows,
            forward,
            s.peak_bytes,
            s.trainable_parameters,
            s.total_parameters,
            answering_seconds=answering_seconds,
        )
        for name, s in first.items()
    }
    cost = CostModel(probes, subject.dev_rows, subject.test_rows, subject.rows)
    safety = DEFAULT_CONFIG.safety
    left = limit_gpu_seconds - safety * cost.closing_seconds()
    batch_size = int(next(iter(first.values())).hyperparameters["batch_size"] or 1)
    references = references_of(list(probes), [min(probes, key=lambda n: first[n].gpu_seconds)])

    def needs(stops: Sequence[int]) -> float:
        return needs_of(stops, cost, references, DEFAULT_CONFIG)

    stops = choose_stops(subject.rows, batch_size, lambda stops: needs(stops) <= left, DEFAULT_CONFIG)
    stop = stops[-1]
    trials = {name: cost.predict(Setup.of(name, {}, stops[0])).trial_seconds for name in probes}
    paid: list[str] = []
    for name in sorted(trials, key=lambda n: trials[n]):
        if safety * (sum(trials[n] for n in paid) + trials[name]) <= left:
            paid.append(name)
    more = max(0.0, left - needs(stops))
    mean = sum(trials.values()) / len(trials)
    longest = max(cost.predict(Setup.of(name, {}, stop)).trial_seconds for name in probes)
    return {
        "stop_examples": stop,
        "epochs": stop / subject.rows,
        "methods": paid,
        "setups": len(paid) + int(more / (safety * mean)),
        "confirmations": min(CONFIRM_SEEDS * DEFAULT_CONFIG.reserved_contenders, int(left / longest)),
    }
