"""Every executor holds to the contract: the local one, the simulated one, and the one of docs/extending/executor.md."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from synthetic_table import synthetic_table

from peftcost.core.setup import Setup
from peftcost.cost.device import Device, choose_devices
from peftcost.engine.job import TrainJob, prepare_payload
from peftcost.runner.executor import Executor, LocalExecutor
from peftcost.runner.slot import Slot, slots_of
from peftcost.simulator.executor import Clock, SimulatedExecutor
from peftcost.simulator.table import draw_replay
from peftcost.task.task import Task
from peftcost.testing.executors import ExecutorContract, Job

PAGE = Path(__file__).parents[2] / "docs" / "extending" / "executor.md"
TABLE = synthetic_table()


@pytest.fixture(scope="module")
def payload(tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What tokenizes a few rows."""
    file = tmp_path_factory.mktemp("reviews") / "reviews.csv"
    file.write_text("text,label\n" + "".join(f"review number {i},{'good' if i % 2 else 'bad'}\n" for i in range(60)))
    task = Task.model_validate({"model": str(tiny_bert), "task": "text-classification", "data": str(file)})
    return prepare_payload(task, 0, str(tiny_bert), "tiny")


class WithRealJobs(ExecutorContract):
    """The job tokenizes a few rows, or finds that this is done."""

    @pytest.fixture(autouse=True)
    def give(self, payload: dict[str, Any]) -> None:
        self.payload = payload

    def job(self, folder: Path) -> Job:
        return "prepare", self.payload

    def failing_job(self, folder: Path) -> Job:
        return "prepare", {**self.payload, "task": {"model": "nowhere"}}


class TestLocal(WithRealJobs):
    @pytest.fixture
    def executor(self, tmp_path: Path) -> Iterator[LocalExecutor]:
        with LocalExecutor(choose_devices("cpu:2"), tmp_path / "workers.log") as executor:
            yield executor

    def start_doomed(self, executor: Executor, slot: Slot, job: Job) -> bool:
        assert isinstance(executor, LocalExecutor)
        executor.start(slot, *job)
        executor._workers[slot].process.kill()
        return True


class TestThreads(WithRealJobs):
    @pytest.fixture
    def executor(self, tmp_path: Path) -> Any:
        code = re.search(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
        assert code is not None
        names: dict[str, Any] = {}
        exec(code[1], names)
        return names["ThreadExecutor"](choose_devices("cpu:2"), tmp_path / "log")


class TestSimulated(ExecutorContract):
    @pytest.fixture
    def executor(self) -> SimulatedExecutor:
        random = np.random.default_rng(0)
        devices = [Device("cpu", "simulated", number, 1) for number in range(4)]
        return SimulatedExecutor(draw_replay(TABLE, 200, random), Clock(), devices, slots_of(4, 2), random)

    def clock(self, executor: Executor) -> Callable[[], float]:
        assert isinstance(executor, SimulatedExecutor)
        return executor.clock

    def job(self, folder: Path) -> Job:
        (_, seed), record = next(iter(TABLE.records.items()))
        return "train", TrainJob("", record.setup, seed, str(folder)).as_dict()

    def failing_job(self, folder: Path) -> Job:
        return "train", TrainJob("", Setup.of("lora", {"rank": 3}, 7), 0, str(folder)).as_dict()

    def start_doomed(self, executor: Executor, slot: Slot, job: Job) -> bool:
        assert isinstance(executor, SimulatedExecutor)
        executor.crashes = 1.0
        executor.start(slot, *job)
        return True
