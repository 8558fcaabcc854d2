"""Workers that stay for the next job. No GPU is needed: here the CPU's are made to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from peftcost.core.setup import Setup
from peftcost.cost.device import choose_devices
from peftcost.engine.job import TrainJob
from peftcost.methods import get_method
from peftcost.searcher import executor as executors
from peftcost.searcher.executor import LocalExecutor


@pytest.fixture
def staying(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalExecutor]:
    with monkeypatch.context() as patch:
        patch.setattr(executors, "STAYING", ("cpu",))
        executor = LocalExecutor(choose_devices("cpu"), tmp_path / "staying.log")
    with executor:
        yield executor


@pytest.fixture
def leaving(tmp_path: Path) -> Iterator[LocalExecutor]:
    with LocalExecutor(choose_devices("cpu"), tmp_path / "leaving.log") as executor:
        yield executor


def run(executor: LocalExecutor, prepared: str, out: Path, method: str, stop_examples: int = 64) -> dict[str, Any]:
    """The last message of a training."""
    out.mkdir()
    setup = Setup.of(method, get_method(method).prior(), stop_examples)
    executor.start(0, "train", TrainJob(prepared, setup, 3, str(out)).as_dict())
    while True:
        for _, message in executor.poll(1.0):
            if message["type"] in ("done", "failed", "died"):
                return message


def worker_of(executor: LocalExecutor) -> int | None:
    """The process that rests, if one does."""
    worker = executor._workers.get(0)
    return worker.process.pid if worker is not None and worker.rests else None


def test_one_process_trains_one_setup_after_the_other_as_fresh_ones_do(
    staying: LocalExecutor, leaving: LocalExecutor, prepared: str, tmp_path: Path
) -> None:
    pids = set()
    for number, method in enumerate(("lora", "full", "frozen", "lora")):
        warm = run(staying, prepared, tmp_path / f"warm{number}", method)["result"]
        pids.add(worker_of(staying))
        fresh = run(leaving, prepared, tmp_path / f"fresh{number}", method)["result"]
        assert worker_of(leaving) is None
        same = ("quality", "train_loss", "dev_loss", "peak_bytes", "trainable_parameters")
        assert [warm[name] for name in same] == [fresh[name] for name in same]
    assert len(pids) == 1 and None not in pids


def test_after_a_fault_comes_a_new_process(staying: LocalExecutor, prepared: str, tmp_path: Path) -> None:
    assert run(staying, prepared, tmp_path / "a", "lora")["type"] == "done"
    before = worker_of(staying)
    assert run(staying, str(tmp_path / "nothing"), tmp_path / "b", "lora")["type"] == "failed"
    assert worker_of(staying) is None and staying.free() == [0]
    assert run(staying, prepared, tmp_path / "c", "lora")["type"] == "done"
    assert worker_of(staying) not in (None, before)


def test_a_process_that_dies_while_it_rests_is_replaced(staying: LocalExecutor, prepared: str, tmp_path: Path) -> None:
    run(staying, prepared, tmp_path / "a", "lora")
    resting = psutil.Process(worker_of(staying))
    resting.kill()
    psutil.wait_procs([resting], timeout=10)
    assert run(staying, prepared, tmp_path / "b", "lora")["type"] == "done"


def test_a_resting_process_is_ended_where_its_device_is_given_back(
    staying: LocalExecutor, prepared: str, tmp_path: Path
) -> None:
    run(staying, prepared, tmp_path / "a", "lora")
    pid = worker_of(staying)
    assert pid is not None and psutil.pid_exists(pid)
    staying.kill(0)
    assert worker_of(staying) is None and staying.free() == [0]
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
