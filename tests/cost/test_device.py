"""Which devices are chosen, on machines that are not here."""

from __future__ import annotations

import pytest

from peftcost.cost import device
from peftcost.cost.device import Gpu, choose_devices
from peftcost.engine.worker import environment_of
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
    monkeypatch.setattr(device, "query", lambda fields: [["0", "GPU-0", "a GPU", *[said] * (len(fields) - 3)]])
    monkeypatch.setattr(device, "torch_is_cpu_build", lambda: False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    (found,) = choose_devices()
    assert (found.kind, found.memory_bytes, found.computes_in_bf16) == ("cuda", 0, False)


LISTED = """GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-5d5ba0d6)
  MIG 3g.20gb     Device  0: (UUID: MIG-c7384736)
  MIG 1g.5gb      Device  1: (UUID: MIG-a28ad590)
"""


@pytest.mark.parametrize(
    ("visible", "mode", "names"),
    [
        ("MIG-c7384736", "Enabled", ["MIG 3g.20gb"]),
        ("MIG-a28ad590,MIG-c7384736", "Enabled", ["MIG 1g.5gb", "MIG 3g.20gb"]),
        ("MIG-x", "[N/A]", ["MIG slice"]),
    ],
)
def test_slices_of_a_gpu_are_devices(monkeypatch: pytest.MonkeyPatch, visible: str, mode: str, names: list[str]) -> None:
    row = f"0, GPU-5d5ba0d6, NVIDIA A100-SXM4-40GB, 40960, [N/A], 8.0, {mode}\n"
    monkeypatch.setattr(device.shutil, "which", lambda name: name)
    monkeypatch.setattr(device, "nvidia_smi", lambda options: LISTED if options == ["-L"] else row)
    monkeypatch.setattr(device, "torch_is_cpu_build", lambda: False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    found = choose_devices(f"cuda:{len(names)}")
    assert [(one.kind, one.name, one.memory_bytes, one.computes_in_bf16) for one in found] == [
        ("cuda", name, 0, True) for name in names
    ]
    assert [environment_of(one)["CUDA_VISIBLE_DEVICES"] for one in found] == visible.split(",")


@pytest.mark.parametrize("visible", [None, "0", "GPU-5d5ba0d6"])
def test_a_gpu_with_slices_is_not_taken_for_whole(monkeypatch: pytest.MonkeyPatch, visible: str | None) -> None:
    """CUDA gives out its first slice, of a fraction of the memory."""
    rows = "0, GPU-5d5ba0d6, NVIDIA A100, 40960, 12, 8.0, Enabled\n1, GPU-1, NVIDIA A100, 40960, 0, 8.0, Disabled\n"
    monkeypatch.setattr(device.shutil, "which", lambda name: name)
    monkeypatch.setattr(device, "nvidia_smi", lambda options: LISTED if options == ["-L"] else rows)
    monkeypatch.setattr(device, "torch_is_cpu_build", lambda: False)
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    found = device.visible_gpus()
    assert [gpu.uuid for gpu in found] == [*(["GPU-1"] if visible is None else []), "MIG-c7384736", "MIG-a28ad590"]
    assert [gpu.total_bytes for gpu in found][-2:] == [0, 0], "nvidia-smi does not tell it"


@pytest.mark.parametrize(("wanted", "says"), [("mps:2", "an Apple GPU is one"), ("cpu:5", "ask for at most cpu:4")])
def test_more_than_there_are(monkeypatch: pytest.MonkeyPatch, wanted: str, says: str) -> None:
    monkeypatch.setattr(device, "cpu_cores", lambda: 4)
    with pytest.raises(UserError, match=says):
        choose_devices(wanted)
