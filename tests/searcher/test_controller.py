"""What the controller makes of the workers' messages."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from peftcost.core.setup import Setup
from peftcost.cost.model import CostModel, Probe
from peftcost.engine.job import TrainJob
from peftcost.engine.messages import Died, Done, Failed, Measured, Predicted, Progress, Unmeasured
from peftcost.methods import get_method
from peftcost.runner.books import Books
from peftcost.runner.observer import Observer
from peftcost.runner.slot import ASIDE, Slot
from peftcost.searcher import controller as module
from peftcost.searcher.controller import Controller
from peftcost.searcher.estimates import Estimates
from peftcost.searcher.state import SearchState
from peftcost.store.journal import Journal

FIGURES = (
    "quality",
    "train_loss",
    "dev_loss",
    "gpu_seconds",
    "startup_seconds",
    "peak_bytes",
    "process_peak_bytes",
    "latency_seconds",
    "artifact_bytes",
    "trainable_parameters",
    "total_parameters",
)
ONLY = Slot((0,))
RESULT: dict[str, Any] = {"seed": 0, **dict.fromkeys(FIGURES, 1)}


@pytest.fixture
def run() -> Any:
    """A study that only counts what it is told."""
    told: list[int] = []
    study = SimpleNamespace(tell=lambda number, measurement: told.append(number))
    return SimpleNamespace(study=study, evidence=SimpleNamespace(reading_error=lambda state, trial: 0.02), told=told)


class Heard(Observer):
    """Remembers how far trials are."""

    def __init__(self) -> None:
        self.steps: list[tuple[int, int]] = []

    def on_progress(self, trial: int, progress: Progress, state: Books) -> None:
        self.steps.append((trial, progress.step))


def training(setups: int) -> Controller:
    """So many setups train on one device, over one pass of the base where they are several. A second passes an event."""
    controller = Controller(SimpleNamespace(), Journal(monotonic=count().__next__), SearchState())  # type: ignore[arg-type]
    probe = Probe(1.0, 0.01, 0.001, 1, 1, 1)
    rows = {"train_rows": 300, "dev_rows": 100, "test_rows": 0}
    controller.record("planned", probes={"lora": probe.as_dict()}, infeasible={}, methods=["lora"], stops=[300], **rows)
    controller.record("acquired", device=0, category="startup")
    for number in range(setups):
        setup = Setup.of("lora", {**get_method("lora").prior(), "rank": 2**number}, 300)
        predicted = {"gpu_seconds": 1.0, "peak_bytes": 1, "trial_seconds": 1.0}
        names = {"trial": number, "setup": setup.as_dict(), "id": setup.id, "lineage": setup.lineage, "device": 0}
        controller.record("started", **names, seed=0, role="explore", parent=None, predicted=predicted)
    controller._together[ONLY] = list(range(setups))
    return controller


def statuses(controller: Controller) -> list[str]:
    return [trial.status for trial in controller.state.trials.values()]


def test_the_result_of_one_setup_is_its_measurement(run: Any) -> None:
    controller = training(1)
    heard = Heard()
    controller.observers.add(heard)
    assert not controller._on_message(run, ONLY, Progress(3, 10, 0.5))
    assert heard.steps == [(0, 3)]
    assert not controller._on_message(run, ONLY, Predicted(10**9))
    assert controller.state.trials[0].predicted.peak_bytes == 10**9
    assert controller._on_message(run, ONLY, Done(RESULT))
    assert statuses(controller) == ["measured"] and run.told == [0]


def test_members_of_a_pack_are_told_one_by_one_and_one_may_fail_alone(run: Any) -> None:
    controller, heard = training(3), Heard()
    controller.observers.add(heard)
    assert not controller._on_message(run, ONLY, Progress(10, 10, 0.5, member=2))
    assert heard.steps == [(2, 10)]
    assert controller._on_message(run, ONLY, Measured(2, RESULT))
    assert controller._on_message(run, ONLY, Unmeasured(0, "the loss is not finite", "setup"))
    assert statuses(controller) == ["failed", "running", "measured"]
    assert controller.state.trials[0].reason == "the loss is not finite"
    assert controller._on_message(run, ONLY, Measured(1, RESULT))
    assert not controller._on_message(run, ONLY, Done({"members": []}))
    assert run.told == [2, 0, 1]
    assert controller.state.ledger.totals()["lost"] == 0.0


def test_who_shared_a_worker_that_failed_is_tried_once_more_alone(run: Any) -> None:
    controller = training(2)
    assert not controller._on_message(run, ONLY, Failed("out of memory", "memory"))
    assert statuses(controller) == ["interrupted", "interrupted"] and run.told == []


def test_a_base_over_which_setups_could_not_share_is_not_shared_again(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SHARED", ("cpu",))
    controller = training(2)
    controller.executor.devices = [SimpleNamespace(kind="cpu")]
    setup = controller.state.trials[0].setup
    assert controller._may_share(ONLY, setup)
    controller._on_message(run, ONLY, Failed("deberta-v2 mixes the rows of a batch", "setup"))
    assert not controller._may_share(ONLY, setup)
    assert controller._may_share(ONLY, Setup(setup.method, {**setup.hyperparameters, "model": "another"}, 300))


def test_a_setup_whose_worker_dies_is_tried_once_more_and_then_fails(run: Any) -> None:
    controller = training(1)
    assert not controller._on_message(run, ONLY, Died(-9))
    assert statuses(controller) == ["interrupted"]
    controller.record("resumed", trial=0, device=0)
    assert controller._on_message(run, ONLY, Died(-9))
    assert statuses(controller) == ["failed"] and run.told == [0]
    assert "killed by signal 9" in str(controller.state.trials[0].reason)


def test_a_setup_that_takes_too_much_memory_is_infeasible(run: Any) -> None:
    controller = training(1)
    assert controller._on_message(run, ONLY, Failed("out of memory", "memory"))
    assert controller.state.trials[0].infeasible


def spend_all(controller: Controller) -> None:
    """Nothing is left of the budget, and no worker is heard of again."""
    controller.state.limit_gpu_seconds, controller.executor = 0.0, SimpleNamespace(kill=lambda slot: None)  # type: ignore[assignment]


def test_what_the_budget_does_not_last_for_is_told_as_failed_and_its_time_is_lost(run: Any) -> None:
    controller = training(1)
    spend_all(controller)
    controller._hold_to_budget(run)
    assert statuses(controller) == ["failed"] and run.told == [0]
    assert controller.state.ledger.totals()["lost"] > 0


def test_the_time_of_a_pack_is_not_lost_when_a_member_was_measured(run: Any) -> None:
    controller = training(3)
    controller._on_message(run, ONLY, Measured(2, RESULT))
    spend_all(controller)
    controller._hold_to_budget(run)
    assert statuses(controller) == ["failed", "failed", "measured"] and run.told == [2, 0, 1]
    assert controller.state.ledger.totals()["lost"] == 0.0


class Doings:
    """An executor that remembers what is started and ended."""

    def __init__(self, kind: str) -> None:
        self.devices = [SimpleNamespace(kind=kind, memory_bytes=4 * 10**9)]
        self.started: list[tuple[Slot, str, bool]] = []
        self.killed: list[Slot] = []

    def start(self, slot: Slot, kind: str, payload: dict[str, Any]) -> None:
        self.started.append((slot, kind, payload["estimate_step"]))

    def kill(self, slot: Slot) -> None:
        self.killed.append(slot)


def started_on(kind: str, run: Any, tmp_path: Path) -> tuple[Controller, Doings]:
    """A setup of a shape of which nothing is known, that may take much of the device's memory."""
    controller, doings = training(1), Doings(kind)
    controller.executor = controller._estimates.executor = doings  # type: ignore[assignment]
    run.folder, run.prepared_for = SimpleNamespace(trial=lambda setup, seed: tmp_path / "trial"), lambda setup: "prepared"
    probe = Probe(1.0, 0.01, 0.001, 10**9, 1, 1)
    controller.state.cost = CostModel({"lora": probe}, 100, 0, 300)
    controller._start_worker(run, ONLY, [controller.state.trials[0]])
    return controller, doings


def test_a_gpu_trains_while_its_memory_is_estimated_aside(run: Any, tmp_path: Path) -> None:
    controller, doings = started_on("cuda", run, tmp_path)
    assert doings.started == [(ASIDE, "peak_bytes", False), (ONLY, "train", False)]
    assert not controller._on_estimate(run, Done({"peak_bytes": 2 * 10**9}))
    trial = controller.state.trials[0]
    assert (trial.status, trial.predicted.peak_bytes, doings.killed) == ("running", 2 * 10**9, [])
    assert not controller.state.cost.wants_estimate(trial.setup, 4 * 10**9), "once is enough"


def test_a_training_that_cannot_fit_the_gpu_is_ended(run: Any, tmp_path: Path) -> None:
    controller, doings = started_on("cuda", run, tmp_path)
    assert controller._on_estimate(run, Done({"peak_bytes": 5 * 10**9}))
    trial = controller.state.trials[0]
    assert (trial.status, trial.infeasible, doings.killed, run.told) == ("failed", True, [ONLY], [0])
    assert "the device has" in str(trial.reason)


def test_what_cannot_be_estimated_or_has_ended_is_left_alone(run: Any, tmp_path: Path) -> None:
    controller, doings = started_on("cuda", run, tmp_path)
    assert not controller._on_estimate(run, Failed("a model of dynamic shapes", "setup"))
    assert statuses(controller) == ["running"]
    controller, doings = started_on("cuda", run, tmp_path)
    controller._on_message(run, ONLY, Done(RESULT))
    assert not controller._on_estimate(run, Done({"peak_bytes": 5 * 10**9}))
    assert statuses(controller) == ["measured"] and doings.killed == []


def test_a_cpu_estimates_before_it_trains(run: Any, tmp_path: Path) -> None:
    _, doings = started_on("cpu", run, tmp_path)
    assert doings.started == [(ONLY, "train", True)]


def test_estimates_are_made_one_by_one_and_forgotten_with_the_search() -> None:
    doings = Doings("cuda")
    estimates = Estimates(doings)  # type: ignore[arg-type]
    jobs = [TrainJob("", Setup.of("lora", {**get_method("lora").prior(), "rank": rank}, 300), 0, "") for rank in (1, 1, 2)]
    for number, job in enumerate(jobs):
        estimates.ask(number, job)
    assert len(doings.started) == 1
    assert estimates.heard(Done({"peak_bytes": 7})) == (0, jobs[0], 7)
    assert len(doings.started) == 2, "the second needs as much as the first"
    estimates.forget()
    estimates.forget()
    assert doings.killed == [ASIDE]
