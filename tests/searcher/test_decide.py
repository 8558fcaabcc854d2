"""Decisions: pure, so that they can be tested without training anything."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from synthetic_table import synthetic_table

from peftcost.core.statistics import CONFIRM_SEEDS, NonInferiority, probability_within_margin
from peftcost.searcher.config import DEFAULT_CONFIG
from peftcost.searcher.confirm import cheapest_expected, confirmable, gpu_seconds_of
from peftcost.searcher.decide import references_of
from peftcost.searcher.state import SearchState
from peftcost.simulator.search import Outcome, simulate
from peftcost.simulator.table import RecordedTable

TABLE = synthetic_table()


def confirmed_seeds(found: Outcome) -> dict[str, set[int]]:
    by_setup: dict[str, set[int]] = {}
    for trial in found.state.trials.values():
        if trial.role == "confirm" and trial.measurement is not None:
            by_setup.setdefault(trial.setup.id, set()).add(trial.seed)
    return by_setup


def test_what_is_recommended_as_confirmed_has_two_fresh_seeds() -> None:
    told = 0
    for seed in range(4):
        found = simulate(TABLE, 0.5 * TABLE.total_gpu_seconds, seed, criterion=NonInferiority(0.02))
        by_setup = confirmed_seeds(found)
        assert min(min(seeds) for seeds in by_setup.values()) >= DEFAULT_CONFIG.first_confirm_seed
        if found.recommendation is not None and found.recommendation.confirmed:
            told += 1
            assert len(by_setup[found.recommendation.id]) >= CONFIRM_SEEDS
    assert told


def test_the_cheapest_likely_setup_is_confirmed_first_or_what_would_be_recommended_or_nothing() -> None:
    found = simulate(TABLE, 0.2 * TABLE.total_gpu_seconds, 1)
    assert found.replicates is not None
    costs = gpu_seconds_of(found.state, found.replicates)
    within = probability_within_margin(found.replicates.as_expected, 0.02)
    likely = min((s for s in within if within[s] >= DEFAULT_CONFIG.likely_within), key=lambda s: costs[s])
    edge = cheapest_expected(found.replicates, 0.02, costs)
    assert costs[edge] < costs[likely]
    twice = {s: CONFIRM_SEEDS * found.state.cost.predict(found.state.setup(s)).trial_seconds for s in (likely, edge)}
    first = [
        confirmable(found.state, found.replicates, 0.02, payable, Counter())[:1]
        for payable in (1.2 * twice[likely], 1.2 * twice[edge], 0.9 * twice[edge])
    ]
    assert first == [[likely], [edge], []]


def test_closing_costs_are_kept_back() -> None:
    found = simulate(TABLE, 0.2 * TABLE.total_gpu_seconds, 0)
    assert found.spent_gpu_seconds + found.state.cost.closing_seconds() <= found.limit_gpu_seconds


def test_what_cannot_be_paid_is_skipped_with_what_it_needs() -> None:
    found = simulate(TABLE, 0.05 * TABLE.total_gpu_seconds, 0)
    assert found.state.skipped
    assert all(reason.startswith("needs ") for reason in found.state.skipped.values())
    assert found.because


def test_it_stops_when_the_recommendation_is_confirmed() -> None:
    found = simulate(TABLE, TABLE.total_gpu_seconds, 0, criterion=NonInferiority(0.2))
    assert found.because.startswith("the recommendation is settled; the rest of the budget would change")
    assert found.spent_gpu_seconds < 0.9 * found.limit_gpu_seconds


def test_a_promising_lineage_goes_on_and_a_hopeless_one_does_not() -> None:
    hopeless = 0
    for seed in (1, 2, 4, 5):
        found = simulate(TABLE, 0.5 * TABLE.total_gpu_seconds, seed)
        farthest: dict[str, int] = {}
        first: dict[str, float] = {}
        for trial in found.state.measured("explore"):
            if trial.setup.method == "lora" and trial.measurement is not None:
                farthest[trial.setup.lineage] = max(farthest.get(trial.setup.lineage, 0), trial.setup.stop_examples)
                first.setdefault(trial.setup.lineage, trial.measurement.dev_loss)
        best = min(first, key=lambda lineage: first[lineage])
        poor = [lineage for lineage in first if first[lineage] > first[best] + 0.05]
        assert farthest[best] > TABLE.stops[0]
        assert all(farthest[lineage] == TABLE.stops[0] for lineage in poor)
        hopeless += len(poor)
    assert hopeless >= 4


def late_table() -> RecordedTable:
    """Full fine-tuning predicts nothing right before its last stop, where it is as good as ever."""
    wrong = np.stack([np.zeros(TABLE.size), np.ones(TABLE.size)], axis=1).astype(np.float32)
    records = {
        key: replace(r, examples=wrong, dev_loss=1.2, train_loss=1.2)
        if r.setup.method == "full" and r.setup.stop_examples < TABLE.stops[-1]
        else r
        for key, r in TABLE.records.items()
    }
    return replace(TABLE, records=records)


def test_a_reference_that_has_not_begun_to_learn_is_trained_on_or_named() -> None:
    table = late_table()
    found = simulate(table, 0.5 * table.total_gpu_seconds, 0)
    assert max(t.setup.stop_examples for t in found.state.measured("explore") if t.setup.method == "full") == table.stops[-1]
    little = simulate(table, 0.1 * table.total_gpu_seconds, 0).recommendation
    assert little is not None and not little.confirmed
    assert any("full (0.000, 0.000 after 0.25, 0.5 epochs) had not begun to learn" in c.text for c in little.caveats)


def test_a_reference_that_has_not_begun_to_learn_goes_before_what_explores() -> None:
    table = late_table()
    trials = simulate(table, 0.5 * table.total_gpu_seconds, 0).state.trials.values()
    in_order = [(t.setup.method, t.setup.stop_examples) for t in sorted(trials, key=lambda t: t.started_t)]
    assert [stop for method, stop in in_order[4:6] if method == "full"] == list(table.stops[1:])


def test_all_methods_go_first_unless_they_take_too_much_of_a_small_budget() -> None:
    def begun(share: float) -> list[str]:
        trials = simulate(TABLE, share * TABLE.total_gpu_seconds, 0).state.trials.values()
        return [trial.setup.method for trial in sorted(trials, key=lambda trial: trial.started_t)]

    assert begun(0.2)[:4] == ["frozen", "full", "lora", "bitfit"]
    small = begun(0.06)
    assert len(small) > 3
    assert "full" not in small


def test_the_cheapest_full_and_lora_go_first_on_every_base() -> None:
    assert references_of(["frozen", "full", "lora", "ia3", "bitfit"], ["ia3"]) == ["ia3", "full", "lora"]
    both = [f"{name} on {base}" for name in ("frozen", "full", "lora") for base in ("a", "b")]
    assert references_of(both, ["frozen on a", "full on b"]) == [
        *("frozen on a", "full on b", "full on a"),
        *("lora on a", "lora on b"),
    ]


@pytest.mark.parametrize("event", ["heartbeat", "something a later version writes"])
def test_unknown_events_are_for_other_readers(event: str) -> None:
    SearchState().apply({"event": event, "t": 1.0})
