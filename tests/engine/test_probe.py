"""The probe: which precision a device is measured to be fast at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from peftcost.core.setup import Setup
from peftcost.cost.model import Probe
from peftcost.engine import precision
from peftcost.engine import probe as module
from peftcost.engine.job import NullReporter, TrainJob, prepare_payload
from peftcost.engine.prepare import prepare
from peftcost.engine.probe import probe
from peftcost.methods import get_method
from peftcost.task.task import Rows, load_task


@pytest.fixture
def payload(tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    task = load_task("builtin:tweets").model_copy(update={"model": str(tiny_bert), "rows": Rows(train=100, dev=40, test=40)})
    prepared = str(prepare(prepare_payload(task, 0, str(tiny_bert), "tiny"), NullReporter())["prepared"])
    return TrainJob(prepared, Setup.of("lora", get_method("lora").prior(), 200), 0, str(tmp_path)).as_dict()


@pytest.mark.parametrize(("bf16_seconds", "chosen"), [(0.5, "bf16"), (0.95, "fp32"), (4.0, "fp32"), (None, "fp32")])
def test_bf16_is_taken_only_where_it_is_measured_faster(
    payload: dict[str, Any], monkeypatch: pytest.MonkeyPatch, bf16_seconds: float | None, chosen: str
) -> None:
    def probed(job: TrainJob) -> dict[str, Any]:
        tried = job.setup.hyperparameters["precision"]
        if tried == "bf16" and bf16_seconds is None:
            raise RuntimeError("no such kernel")
        seconds = bf16_seconds if tried == "bf16" else 1.0
        return {"seconds_per_example": seconds, "frozen_seconds_per_example": 0.0, "precision": tried}

    monkeypatch.setattr(module, "probed", probed)
    monkeypatch.setattr(precision, "cpu_computes_in_bf16", lambda: True)
    assert probe(payload, NullReporter())["precision"] == chosen


def test_a_processor_without_bf16_is_not_asked_to_try(payload: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []
    real = module.probed
    monkeypatch.setattr(module, "probed", lambda job: tried.append(job.setup.hyperparameters["precision"]) or real(job))
    monkeypatch.setattr(precision, "cpu_computes_in_bf16", lambda: False)
    found = Probe(**probe(payload, NullReporter()))
    assert tried == ["fp32"]
    assert found.fitting()["precision"] == "fp32"


def test_both_precisions_run(payload: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "cpu_computes_in_bf16", lambda: True)
    monkeypatch.setattr(module, "WORTH_CHANGING", 1e9)
    found = Probe(**probe(payload, NullReporter()))
    assert found.precision == "bf16"
    assert found.seconds_per_example > 0
