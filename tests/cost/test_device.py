"""Which devices are chosen, on machines that are not here."""

from __future__ import annotations

import pytest

from peftcost.cost import device
from peftcost.cost.device import Gpu, choose_devices
from peftcost.errors import UserError


@pytest.mark.parametrize(("cores", "count", "threads"), [(16, 1, 4), (16, 8, 2), (2, 4, 1)])
def test_a_gpu_gets_few_threads(monkeypatch: pytest.MonkeyPatch, cores: int, count: int, threads: int) -> None:
    gpus = [Gpu(str(i), f"GPU-{i}", "a GPU", 80 << 30, 0) for i in range(count)]
    monkeypatch.setattr(device, "visible_gpus", lambda: gpus)
    monkeypatch.setattr(device, "torch_is_cpu_build", lambda: False)
    monkeypatch.setattr(device, "cpu_cores", lambda: cores)
    assert [found.threads for found in choose_devices(f"cuda:{count}")] == [threads] * count


@pytest.mark.parametrize("said", ["[N/A]", "[Insufficient Permissions]"])
def test_a_gpu_that_tells_no_memory_is_used(monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    monkeypatch.setattr(device.shutil, "which", lambda name: name)
    monkeypatch.setattr(device, "nvidia_smi", lambda fields: [["0", "GPU-0", "a GPU", said, said, said][: len(fields)]])
    monkeypatch.setattr(device, "torch_is_cpu_build", lambda: False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    (found,) = choose_devices()
    assert (found.kind, found.memory_bytes, found.computes_in_bf16) == ("cuda", 0, False)


@pytest.mark.parametrize(("wanted", "says"), [("mps:2", "an Apple GPU is one"), ("cpu:5", "ask for at most cpu:4")])
def test_more_than_there_are(monkeypatch: pytest.MonkeyPatch, wanted: str, says: str) -> None:
    monkeypatch.setattr(device, "cpu_cores", lambda: 4)
    with pytest.raises(UserError, match=says):
        choose_devices(wanted)
