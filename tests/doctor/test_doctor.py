"""The doctor: what it advises, and that it really looks."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from peftcost.doctor.advice import advise
from peftcost.doctor.examine import lock_problem, storage_state
from peftcost.doctor.findings import DeviceFacts, Findings, Hub, Load, Memory, MethodCheck, Process, SelfTest, Storage
from peftcost.engine import selftest as selftests
from peftcost.engine.job import NullReporter
from peftcost.engine.selftest import FIRST_STEPS, PLAN, STEPS_AT_ONCE, selftest
from peftcost.engine.train import Loop

BIN = Path(sys.executable).with_name("peftcost")
GB = 10**9
FP32 = SelfTest("fp32", device="cpu", threads=2, steps=50, steps_per_second=20.0, first_loss=0.7, last_loss=0.1)
CPU = DeviceFacts("cpu", "a CPU", 0, 2, 24 * GB, 20 * GB, True)
GPU = DeviceFacts("cuda", "a GPU", 0, 2, 24 * GB, 24 * GB, False)
HEALTHY = Findings(
    devices=[CPU],
    gpus_in_machine=0,
    cores=2,
    cpu_quota=None,
    memory=Memory(24 * GB, 20 * GB),
    storage=Storage("runs", 100 * GB),
    hub=Hub("reachable", None, "~/.cache", 3),
    load=Load(0.1),
    environment={},
    libraries={"torch": "2.13.0"},
    missing_libraries=[],
    precisions=[FP32],
    methods=[MethodCheck("lora", True)],
)


def test_a_healthy_machine_needs_no_advice() -> None:
    assert advise(HEALTHY) == []
    assert HEALTHY.obstacle is None


@pytest.mark.parametrize(
    ("found", "level", "says"),
    [
        (replace(HEALTHY, missing_libraries=["bitsandbytes"]), "warning", "quantized methods"),
        (replace(HEALTHY, missing_libraries=["torch"], precisions=[]), "problem", "torch is not installed"),
        (replace(HEALTHY, precisions=[replace(FP32, why_not="the loss did not fall")]), "problem", "did not fall"),
        (replace(HEALTHY, precisions=[FP32, replace(FP32, precision="bf16", steps_per_second=5.0)]), "note", "slower"),
        (replace(HEALTHY, precisions=[FP32, replace(FP32, precision="bf16", steps_per_second=50.0)]), "note", "2.5 times"),
        (replace(HEALTHY, memory=Memory(24 * GB, GB)), "warning", "memory"),
        (replace(HEALTHY, storage=Storage("runs", GB)), "warning", "disk"),
        (replace(HEALTHY, storage=Storage("runs", 9 * GB, "a lock does not hold")), "problem", "does not hold"),
        (replace(HEALTHY, load=Load(1.0, [Process(7, "hog", 1.0)])), "warning", "hog, pid 7"),
        (replace(HEALTHY, environment={"OMP_NUM_THREADS": "1"}), "note", "OMP_NUM_THREADS"),
        (replace(HEALTHY, environment={"CUDA_VISIBLE_DEVICES": ""}, gpus_in_machine=2), "warning", "hides all 2"),
        (replace(HEALTHY, devices=[replace(GPU, why_not="a CPU build"), CPU]), "warning", "CPU build"),
        (replace(HEALTHY, hub=Hub("unreachable", "no answer", "", 0)), "note", "does not answer"),
        (replace(HEALTHY, cpu_quota=1.0), "warning", "taskset"),
    ],
)
def test_advice(found: Findings, level: str, says: str) -> None:
    (advice,) = advise(found)
    assert advice.level == level
    assert says in advice.text
    assert (found.obstacle is not None) == (level == "problem")


def test_storage_is_really_tried(tmp_path: Path) -> None:
    assert storage_state(tmp_path / "runs").why_not is None
    assert lock_problem(tmp_path / "study.db") is None
    assert not list(tmp_path.glob(".peftcost-doctor-*"))


def test_the_command_trains_in_each_precision_and_method(tmp_path: Path) -> None:
    done = subprocess.run([BIN, "doctor", "--json"], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["training_works"]
    fp32 = next(test for test in found["precisions"] if test["precision"] == "fp32")
    assert fp32["why_not"] is None and fp32["last_loss"] < fp32["first_loss"]
    assert {check["name"] for check in found["methods"] if check["runs"]} >= {"full", "lora", "nf4-lora"}
    assert not list(tmp_path.iterdir())


def test_the_steps_that_are_timed_are_captured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    captured: list[int] = []

    def capture_steps(loop: Loop) -> contextlib.AbstractContextManager[None]:
        captured.append(loop.plan.total_steps - loop.step)
        return contextlib.nullcontext()

    monkeypatch.setattr(Loop, "capture_steps", capture_steps)
    found = selftest({"method": "lora", "precision": "fp32", "seconds": 0.01}, NullReporter())
    assert found["steps"] >= FIRST_STEPS + STEPS_AT_ONCE
    assert captured == [PLAN.total_steps]
    assert found["last_loss"] < found["first_loss"]


def test_a_slow_precision_is_not_timed_for_longer_than_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selftests, "SLOW_SECONDS", 0.0)
    found = selftest({"method": "full", "precision": "fp32", "seconds": 0.01}, NullReporter())
    assert found["steps"] == FIRST_STEPS + 1 and found["last_loss"] < found["first_loss"]
