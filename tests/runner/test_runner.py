"""The runner: jobs in, last words out, and every device-second in the books. Workers are scripts here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from peftcost.cost.device import Device
from peftcost.engine.messages import Died, Done, Failed, LastWord, Message, Phase, Progress
from peftcost.errors import EnvironmentFailure, PeftcostError, UserError
from peftcost.runner.books import Books
from peftcost.runner.runner import BudgetSpent, Runner, result_of
from peftcost.runner.slot import ASIDE, Slot, slots_of
from peftcost.store.journal import Journal


class Scripted:
    """An executor whose workers say what the payload tells them: {"says": messages by second}. One second passes a poll."""

    patience_seconds = 1.0
    log = Path("workers.log")

    def __init__(self, devices: int, devices_per_setup: int = 1) -> None:
        self.slots = slots_of(devices, devices_per_setup)
        self.devices = [Device("cpu", "a CPU", index, 1) for index in range(devices)]
        self.now = 0.0
        self.killed: list[Slot] = []
        self._jobs: dict[Slot, tuple[float, dict[float, Message]]] = {}

    def free(self) -> list[Slot]:
        return [slot for slot in self.slots if slot not in self._jobs]

    def start(self, slot: Slot, kind: str, payload: dict[str, Any]) -> None:
        self._jobs[slot] = self.now, dict(payload["says"])

    def poll(self, timeout: float) -> Iterator[tuple[Slot, Message]]:
        self.now += 1.0
        for slot, (since, says) in list(self._jobs.items()):
            message = says.get(self.now - since)
            if isinstance(message, LastWord):
                del self._jobs[slot]
            if message is not None:
                yield slot, message

    def kill(self, slot: Slot) -> None:
        self.killed.append(slot)
        self._jobs.pop(slot, None)


def runner_on(devices: int, limit_gpu_seconds: float = float("inf"), devices_per_setup: int = 1) -> tuple[Runner, Scripted]:
    executor = Scripted(devices, devices_per_setup)
    journal = Journal(monotonic=lambda: executor.now)
    return Runner(executor, journal, Books(limit_gpu_seconds)), executor


def trained(seconds: float, name: str) -> dict[str, Any]:
    """A job that takes so long."""
    return {"says": {seconds: Done({"name": name})}}


def test_last_words_come_in_the_order_of_the_jobs() -> None:
    runner, executor = runner_on(2)
    runner.acquire()
    told = runner.run_all("train", [trained(3, "a"), trained(1, "b"), trained(1, "c"), {"says": {1: Died(-9)}}])
    assert told == [Done({"name": "a"}), Done({"name": "b"}), Done({"name": "c"}), Died(-9)]
    assert executor.now == 3.0


def test_every_second_of_a_device_is_booked() -> None:
    runner, executor = runner_on(1)
    runner.acquire()
    says = {1: Phase("train", 1.0), 2: Progress(1, 2, 0.5), 4: Phase("evaluate", 4.0), 5: Done({})}
    assert runner.run_one("train", {"says": says}) == {}
    runner.run_aside("prepare", {"says": {1: Phase("startup", 6.0), 2: Done({})}})
    runner.release()
    totals = {name: seconds for name, seconds in runner.books.ledger.totals().items() if seconds}
    assert totals == {"startup": 1.0, "train": 3.0, "evaluate": 1.0, "idle": 2.0}
    names = [event["event"] for event in runner.journal.events if event["event"] != "heartbeat"]
    assert names == ["acquired", "phase", "phase", "phase", "released"]
    assert executor.killed == [Slot((0,))]


def test_jobs_that_would_overspend_the_budget_are_ended() -> None:
    runner, executor = runner_on(2, limit_gpu_seconds=20.0)
    runner.acquire()
    with pytest.raises(BudgetSpent, match="20 gpu-s was used up while the probe jobs ran"):
        runner.run_all("probe", [trained(1, "short"), trained(100, "long")])
    assert executor.killed == [Slot((1,))]
    runner.release()
    assert runner.books.ledger.spent() <= 20.0


def test_a_job_aside_needs_no_device_and_has_a_limit() -> None:
    runner, executor = runner_on(1)
    assert runner.run_aside("prepare", trained(2, "a")) == Done({"name": "a"})
    assert runner.run_aside("prepare", trained(9, "b"), seconds=3.0) == Failed("it was ended after 3 s", "setup")
    assert executor.killed == [ASIDE]
    assert runner.spent() == 0.0


def test_devices_that_wait_are_given_back_but_never_all() -> None:
    runner, _ = runner_on(3)
    runner.acquire()
    runner.release_all_but({Slot((1,)), Slot((2,))})
    assert runner.books.held == {1, 2}
    runner.release_all_but(set())
    assert runner.books.held == {1}


@pytest.mark.parametrize(
    ("message", "error", "says"),
    [
        (Died(-9), EnvironmentFailure, r"The card worker was killed by signal 9 \(perhaps out of memory\); see workers.log"),
        (Failed("no such column", "user"), UserError, "^no such column$"),
        (Failed("KeyError: 'x'", "ours"), PeftcostError, "^The card job failed: KeyError: 'x'. workers.log says more; "),
    ],
)
def test_a_job_that_has_to_work_raises_what_went_wrong(message: LastWord, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        result_of("card", message, Path("workers.log"))
