"""Which devices are chosen, on machines that are not here."""

from __future__ import annotations

import pytest

from peftcost.cost import device
from peftcost.cost.device import Gpu, choose_devices


@pytest.mark.parametrize(("cores", "count", "threads"), [(16, 1, 4), (16, 8, 2), (2, 4, 1)])
def test_a_gpu_gets_few_threads(monkeypatch: pytest.MonkeyPatch, cores: int, count: int, threads: int) -> None:
    gpus = [Gpu(str(i), f"GPU-{i}", "a GPU", 80 << 30, 0) for i in range(count)]
    monkeypatch.setattr(device, "visible_gpus", lambda: gpus)
    monkeypatch.setattr(device, "torch_is_cpu_build", lambda: False)
    monkeypatch.setattr(device, "cpu_cores", lambda: cores)
    assert [found.threads for found in choose_devices(f"cuda:{count}")] == [threads] * count
