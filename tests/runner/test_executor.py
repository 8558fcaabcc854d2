"""Workers that are spawned and stay. No GPU is needed: here the CPU's are made to."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from peftcost.core.setup import Setup
from peftcost.cost.device import Device, choose_devices
from peftcost.engine.job import TrainJob
from peftcost.engine.messages import Died, Done, Failed, LastWord, Ready
from peftcost.engine.worker import environment_of, reason_of
from peftcost.errors import EnvironmentFailure
from peftcost.methods import get_method
from peftcost.runner import executor as executors
from peftcost.runner.books import Books
from peftcost.runner.executor import LocalExecutor
from peftcost.runner.runner import Runner
from peftcost.runner.slot import ASIDE, Slot
from peftcost.runner.worker_process import environment
from peftcost.store.journal import Journal

ONLY = Slot((0,))


def spawning(log: Path) -> LocalExecutor:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(executors, "SPAWNED", ("cpu",))
        return LocalExecutor(choose_devices("cpu"), log)


@pytest.fixture(scope="module")
def staying(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalExecutor]:
    """One for all: to import takes long, and each test leaves it able to work."""
    with spawning(tmp_path_factory.mktemp("executor") / "staying.log") as executor:
        yield executor


@pytest.fixture
def leaving(tmp_path: Path) -> Iterator[LocalExecutor]:
    with LocalExecutor(choose_devices("cpu"), tmp_path / "leaving.log") as executor:
        yield executor


def payload_of(prepared: str, out: Path, method: str = "lora", stop_examples: int = 64) -> dict[str, Any]:
    out.mkdir()
    setup = Setup.of(method, get_method(method).prior(), stop_examples)
    return TrainJob(prepared, setup, 3, str(out)).as_dict()


def run(executor: LocalExecutor, prepared: str, out: Path, method: str = "lora") -> LastWord:
    """The last message of a training."""
    executor.start(ONLY, "train", payload_of(prepared, out, method))
    while True:
        for _, message in executor.poll(1.0):
            assert not isinstance(message, Ready)
            if isinstance(message, LastWord):
                return message


def result(executor: LocalExecutor, prepared: str, out: Path, method: str = "lora") -> dict[str, Any]:
    """Of a training that works."""
    message = run(executor, prepared, out, method)
    assert isinstance(message, Done)
    return message.result


def wait_until_ready(executor: LocalExecutor) -> None:
    """Until the spare has imported."""
    while any(spare.state == "importing" for spare in executor._spares.values()):
        list(executor.poll(1.0))


def worker_of(executor: LocalExecutor) -> int | None:
    """The process that rests after a job, if one does."""
    worker = executor._workers.get(ONLY)
    return worker.process.pid if worker is not None and worker.state == "resting" else None


def test_one_process_trains_one_setup_after_the_other_as_fresh_ones_do(
    staying: LocalExecutor, leaving: LocalExecutor, prepared: str, tmp_path: Path
) -> None:
    pids = set()
    for number, method in enumerate(("lora", "frozen", "lora")):
        warm = result(staying, prepared, tmp_path / f"warm{number}", method)
        pids.add(worker_of(staying))
        fresh = result(leaving, prepared, tmp_path / f"fresh{number}", method)
        assert worker_of(leaving) is None
        same = ("quality", "train_loss", "dev_loss", "peak_bytes", "trainable_parameters")
        assert [warm[name] for name in same] == [fresh[name] for name in same]
    assert len(pids) == 1 and None not in pids


def test_the_spare_takes_the_place_of_a_process_that_failed(staying: LocalExecutor, prepared: str, tmp_path: Path) -> None:
    wait_until_ready(staying)
    result(staying, prepared, tmp_path / "a")
    before = worker_of(staying)
    wait_until_ready(staying)
    spare = staying._spares[ONLY].process.pid
    assert isinstance(run(staying, str(tmp_path / "nothing"), tmp_path / "b"), Failed)
    assert worker_of(staying) is None and staying.free() == [ONLY]
    result(staying, prepared, tmp_path / "c")
    assert worker_of(staying) == spare != before


def test_a_killed_worker_is_told_and_replaced_by_the_spare(staying: LocalExecutor, prepared: str, tmp_path: Path) -> None:
    wait_until_ready(staying)
    staying.start(ONLY, "train", payload_of(prepared, tmp_path / "a", stop_examples=10**6))
    wait_until_ready(staying)
    spare, busy = staying._spares[ONLY].process.pid, staying._workers[ONLY].process
    busy.kill()
    while not (told := [message for _, message in staying.poll(1.0) if isinstance(message, LastWord)]):
        pass
    assert told == [Died(-9)]
    result(staying, prepared, tmp_path / "b")
    assert worker_of(staying) == spare


def test_a_process_that_dies_while_it_rests_is_replaced(staying: LocalExecutor, prepared: str, tmp_path: Path) -> None:
    run(staying, prepared, tmp_path / "a")
    resting = psutil.Process(worker_of(staying))
    resting.kill()
    psutil.wait_procs([resting], timeout=10)
    result(staying, prepared, tmp_path / "b")


def test_a_resting_process_is_ended_where_its_device_is_given_back(
    staying: LocalExecutor, prepared: str, tmp_path: Path
) -> None:
    run(staying, prepared, tmp_path / "a")
    pid = worker_of(staying)
    assert pid is not None and psutil.pid_exists(pid)
    staying.kill(ONLY)
    assert worker_of(staying) is None
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_no_device_is_held_while_workers_import_and_data_are_prepared(tmp_path: Path) -> None:
    books = Books()
    with spawning(tmp_path / "log") as executor:
        runner = Runner(executor, Journal(), books)
        assert executor.free() == []
        assert isinstance(runner.run_aside("no such job", {}), Failed)
        assert not books.held
        runner.acquire()
        assert executor.free() == [ONLY]
        runner.release()
    assert books.ledger.spent() < 0.5


def test_a_job_aside_is_ended_at_its_limit(leaving: LocalExecutor) -> None:
    runner = Runner(leaving, Journal(), Books())
    message = runner.run_aside("prepare", {}, seconds=0.0)
    assert isinstance(message, Failed) and "ended after 0 s" in message.reason
    assert ASIDE not in leaving._workers


def test_processes_that_cannot_import_end_the_wait_for_them(tmp_path: Path) -> None:
    with spawning(tmp_path / "log") as executor:
        executor._spares[ONLY].process.kill()
        with pytest.raises(EnvironmentFailure, match="died while it imported"):
            Runner(executor, Journal(), Books()).acquire()


SCRIPT = """
import os, sys
from pathlib import Path
from peftcost.cost.device import choose_devices
from peftcost.runner import executor as executors
print("here")
executors.SPAWNED = ("cpu",)
before = dict(os.environ)
with executors.LocalExecutor(choose_devices("cpu"), Path(sys.argv[1])) as executor:
    while not executor.free():
        list(executor.poll(1.0))
assert "torch" not in sys.modules
assert dict(os.environ) == before
"""


@pytest.mark.parametrize("how", ["file", "stdin"])
def test_a_script_without_a_main_guard_runs_once(how: str, tmp_path: Path) -> None:
    """And neither its modules nor its environment are changed."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    command = [sys.executable, str(script) if how == "file" else "-", str(tmp_path / "log")]
    done = subprocess.run(command, input=SCRIPT, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "here\n"), done.stderr
    assert (tmp_path / "log").read_text() == ""


def test_a_process_for_a_gpu_sees_that_one_alone_and_its_threads_do_not_spin() -> None:
    values = environment_of(Device("cuda", "a GPU", 3, 4))
    assert (values["CUDA_DEVICE_ORDER"], values["CUDA_VISIBLE_DEVICES"]) == ("PCI_BUS_ID", "3")
    assert (values["OMP_NUM_THREADS"], values["OMP_WAIT_POLICY"]) == ("4", "PASSIVE")
    assert environment_of(Device("cpu", "a CPU", 0, 4))["CUDA_VISIBLE_DEVICES"] == ""


def test_an_environment_is_put_back() -> None:
    before = dict(os.environ)
    with environment({"PATH": "elsewhere", "PEFTCOST_NEW": "1"}):
        assert os.environ["PEFTCOST_NEW"] == "1"
    assert dict(os.environ) == before


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (
            RuntimeError("CUDA error: device-side assert triggered\nCUDA kernel errors might be reported elsewhere"),
            "a CUDA kernel failed (device-side assert): ",
        ),
        (RuntimeError("CUDA error: misaligned address\nmore"), "a CUDA kernel failed (RuntimeError): misaligned address"),
        (RuntimeError("CUDA error: out of memory"), "out of memory: "),
        (IndexError("index 3 is out of bounds"), "IndexError: index 3"),
    ],
)
def test_why_a_job_failed(error: Exception, says: str) -> None:
    assert reason_of(error).startswith(says)
