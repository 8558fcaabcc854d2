"""What a job leaves behind in its process is seen."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from peftcost.engine import clean
from peftcost.engine.clean import ProcessBaseline, cpu_tensor_bytes, tensor_bytes

LEAKED: list[torch.Tensor] = []


@pytest.fixture(autouse=True)
def nothing_stays() -> Iterator[None]:
    yield
    LEAKED.clear()
    torch.set_default_dtype(torch.float32)
    torch.set_grad_enabled(True)
    torch.use_deterministic_algorithms(False)
    os.environ.pop("PEFTCOST_LEFT", None)


def baseline_after_a_first_job() -> ProcessBaseline:
    tensor_bytes()  # collects
    baseline = ProcessBaseline()
    assert baseline.leaks() == []
    return baseline


def test_a_job_that_holds_nothing_is_clean() -> None:
    baseline = baseline_after_a_first_job()
    model = torch.nn.Linear(1000, 1000)
    model.itself = model
    model(torch.zeros(1, 1000)).sum().backward()
    del model
    assert baseline.leaks() == []


@pytest.mark.parametrize(
    "leave",
    [
        lambda: LEAKED.append(torch.zeros(1000, 1000)),
        lambda: torch.set_default_dtype(torch.float64),
        lambda: torch.set_grad_enabled(False),
        lambda: torch.use_deterministic_algorithms(True),
        lambda: os.environ.update(PEFTCOST_LEFT="1"),
    ],
    ids=["tensors", "dtype", "gradients", "algorithms", "environment"],
)
def test_what_is_left_is_seen(leave: Callable[[], None]) -> None:
    baseline = baseline_after_a_first_job()
    leave()
    assert len(baseline.leaks()) == 1


def test_tensors_of_the_processor_and_of_a_gpu_both_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clean, "cuda_tensor_bytes", lambda: 5 * 2**20)
    before = tensor_bytes()
    assert before >= 5 * 2**20
    LEAKED.append(torch.zeros(2**20))
    assert tensor_bytes() - before == 4 * 2**20


@pytest.mark.gpu
def test_what_is_left_on_a_gpu_is_seen() -> None:
    baseline = baseline_after_a_first_job()
    LEAKED.append(torch.zeros(1000, 1000, device="cuda"))
    assert len(baseline.leaks()) == 1


def test_fake_tensors_hold_nothing() -> None:
    before = tensor_bytes()
    with FakeTensorMode():
        LEAKED.append(torch.zeros(2**20))
    assert cpu_tensor_bytes() == before
