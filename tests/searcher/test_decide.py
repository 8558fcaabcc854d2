"""Decisions: pure, so that they can be tested without training anything."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peftcost.core.setup import Setup
from peftcost.core.statistics import Replicates
from peftcost.searcher import decide
from peftcost.searcher.state import SearchState

RATES = {"frozen": 0.005, "full": 0.014, "lora": 0.012, "adalora": 0.015}


class Simulated:
    """A search on a fake clock: every trial takes what it costs, every quality is drawn."""

    def __init__(self, limit: float, qualities: dict[str, float], seed: int = 0, slower: float = 1.0) -> None:
        self.state, self.t, self.slower = SearchState(), 0.0, slower
        self.random = np.random.default_rng(seed)
        self.qualities, self.seen = qualities, {}
        probes = {
            name: {
                "startup_seconds": 1.0,
                "seconds_per_example": rate,
                "evaluation_seconds_per_example": 0.004,
                "peak_bytes": 10**8,
                "trainable_parameters": 10,
                "total_parameters": 100,
            }
            for name, rate in RATES.items()
        }
        self.prior = {name: Setup.of(name, {}, 1000) for name in RATES}
        self.apply("budget", limit_gpu_seconds=limit)
        self.apply("acquired", device=0, category="startup")
        order = decide.funding_order(list(RATES), "frozen")
        facts = {
            "probes": probes,
            "methods": order,
            "infeasible": {},
            "stop_examples": 1000,
            "dev_rows": 1000,
            "train_rows": 2000,
        }
        self.apply("planned", **facts, test_rows=1000)

    def apply(self, event: str, **facts: Any) -> None:
        self.state.apply({"event": event, "t": self.t, **facts})

    def run(self, margin: float = 0.01) -> str:
        for number in range(200):
            action = decide.next_action(self.state, self.prior, self.replicates(), margin, self.t)
            match action:
                case decide.Fund(method):
                    self.train(number, self.prior[method], 0, "explore")
                case decide.Propose(method):
                    self.train(number, Setup.of(method, {"learning_rate": float(number)}, 1000), 0, "explore")
                case decide.Confirm(setup, seed):
                    self.train(number, setup, seed, "confirm")
                case decide.Skip(method, needs):
                    self.apply("skipped", method=method, reason=f"needs {needs:.0f} gpu-s")
                case decide.Stop(because):
                    return because
                case decide.Wait():
                    raise AssertionError("waits although nothing runs")
        raise AssertionError("the search does not end")

    def train(self, number: int, setup: Setup, seed: int, role: str) -> None:
        predicted = self.state.cost.predict(setup)
        facts = {"id": setup.id, "lineage": setup.lineage, "seed": seed, "role": role, "device": 0}
        self.apply("started", trial=number, setup=setup.as_dict(), predicted=vars(predicted), **facts)
        seconds = RATES[setup.method] * setup.stop_examples
        self.t += predicted.trial_seconds * self.slower
        quality = self.qualities[setup.method] + self.random.normal() * 0.004
        self.seen.setdefault(setup.id, {}).setdefault(role, []).append(quality)
        measurement = dict.fromkeys(("train_loss", "dev_loss", "startup_seconds", "latency_seconds"), 0.5) | dict.fromkeys(
            ("process_peak_bytes", "artifact_bytes", "trainable_parameters", "total_parameters"), 1
        )
        measurement |= {"seed": seed, "role": role, "quality": quality, "gpu_seconds": seconds, "peak_bytes": 10**8}
        self.apply("measured", trial=number, measurement=measurement)

    def replicates(self) -> Replicates | None:
        if not self.seen:
            return None
        observed, values = {}, {}
        for i, (name, roles) in enumerate(self.seen.items()):
            decisive = roles.get("confirm") or roles["explore"]
            observed[name] = float(np.mean(decisive))
            noise = np.random.default_rng(i).normal(size=500) * 0.004 / len(decisive) ** 0.5
            values[name] = observed[name] + noise
        return Replicates(observed, values, True)


GOOD = {"frozen": 0.66, "full": 0.75, "lora": 0.75, "adalora": 0.74}


def test_each_funded_method_is_measured_before_any_is_explored_further() -> None:
    search = Simulated(600, GOOD)
    search.run()
    methods = [t.setup.method for t in search.state.trials.values()]
    assert methods[:4] == ["frozen", "full", "lora", "adalora"]
    roles = [t.role for t in search.state.trials.values()]
    assert "confirm" in roles
    assert roles == sorted(roles, key=["explore", "confirm"].index), "exploring ends before confirming begins"


def test_contenders_are_confirmed_with_two_fresh_seeds_each() -> None:
    search = Simulated(900, GOOD)
    search.run()
    by_setup: dict[str, set[int]] = {}
    for trial in search.state.trials.values():
        if trial.role == "confirm":
            by_setup.setdefault(trial.setup.id, set()).add(trial.seed)
    assert min(min(seeds) for seeds in by_setup.values()) >= decide.FIRST_CONFIRM_SEED
    assert sum(len(seeds) >= 2 for seeds in by_setup.values()) >= 2  # one that drops out after a seed costs no second


@settings(max_examples=15, deadline=None)
@given(limit=st.floats(60, 700), seed=st.integers(0, 20), slower=st.floats(0.5, 1.05))
def test_the_budget_and_the_closing_costs_are_kept(limit: float, seed: int, slower: float) -> None:
    search = Simulated(limit, GOOD, seed, slower)
    search.run()
    assert search.t + search.state.cost.closing_seconds() <= limit or len(search.state.trials) == 1


def test_what_cannot_be_paid_is_skipped_with_what_it_needs() -> None:
    search = Simulated(75, GOOD)
    because = search.run()
    assert search.state.skipped
    assert all(reason.startswith("needs ") for reason in search.state.skipped.values())
    assert because


def test_it_stops_when_the_recommendation_is_confirmed() -> None:
    search = Simulated(500, {"frozen": 0.80, "full": 0.70, "lora": 0.70, "adalora": 0.70})
    assert search.run(margin=0.05) == "the recommendation is confirmed"
    assert search.t < 500


@given(
    rows=st.integers(50, 50_000),
    rates=st.lists(st.floats(1e-4, 0.1), min_size=1, max_size=8),
    available=st.floats(10, 1e5),
)
def test_the_length_that_is_chosen_can_be_paid_for(rows: int, rates: list[float], available: float) -> None:
    beside = [5.0] * len(rates)
    stop = decide.choose_stop(rows, 16, rates, beside, available)
    least = min(rows, decide.FEWEST_STEPS * 16)
    assert least <= stop <= 3 * rows or stop == least
    trials = [rate * stop + 5.0 for rate in rates]
    assert stop == least or decide.SAFETY * (sum(trials) + 2 * sum(sorted(trials)[-2:])) <= available


def test_the_funding_order_starts_with_the_cheapest_full_and_lora() -> None:
    assert decide.funding_order(["frozen", "full", "lora", "ia3", "bitfit"], "ia3") == [
        "ia3",
        "full",
        "lora",
        "frozen",
        "bitfit",
    ]


def test_the_same_state_gives_the_same_answer() -> None:
    one, two = Simulated(400, GOOD), Simulated(400, GOOD)
    assert one.run() == two.run()
    assert [t.setup.id for t in one.state.trials.values()] == [t.setup.id for t in two.state.trials.values()]


@pytest.mark.parametrize("event", ["heartbeat", "something a later version writes"])
def test_unknown_events_are_for_other_readers(event: str) -> None:
    SearchState().apply({"event": event, "t": 1.0})
