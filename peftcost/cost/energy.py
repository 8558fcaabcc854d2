"""What a training drew from the socket, where the machine tells: RAPL for processors, NVML for NVIDIA GPUs."""

from __future__ import annotations

import contextlib
from pathlib import Path

import torch

POWERCAP = Path("/sys/class/powercap")


class EnergyMeter:
    """Joules since its making, None where nothing tells. Counters are of whole processors and GPUs, so other programs
    on them count too."""

    def __init__(self, device: torch.device, powercap: Path = POWERCAP) -> None:
        self.device, self.powercap = device, powercap
        self._before = self._counters()

    def joules(self) -> float | None:
        now = self._counters()
        if not now or now.keys() != self._before.keys():
            return None
        # A counter that went back has run over its range.
        return sum((value - self._before[name][0]) % size for name, (value, size) in now.items())

    def _counters(self) -> dict[str, tuple[float, float]]:
        """Per counter (joules, joules at which it starts again)."""
        if self.device.type == "cuda":
            return nvml_counter(self.device)
        return rapl_counters(self.powercap)


def rapl_counters(powercap: Path) -> dict[str, tuple[float, float]]:
    """Intel's and AMD's packages. Reading them often needs root; then there are none."""
    found = {}
    for package in sorted(powercap.glob("intel-rapl:[0-9]")):
        with contextlib.suppress(OSError, ValueError):
            joules = int((package / "energy_uj").read_text()) / 1e6
            found[package.name] = (joules, int((package / "max_energy_range_uj").read_text()) / 1e6)
    return found


def nvml_counter(device: torch.device) -> dict[str, tuple[float, float]]:
    """The GPU's total, which does not run over; none without nvidia-ml-py."""
    try:
        import pynvml

        pynvml.nvmlInit()
        uuid = f"GPU-{torch.cuda.get_device_properties(device).uuid}"
        handle = pynvml.nvmlDeviceGetHandleByUUID(uuid)
        return {uuid: (pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1e3, float("inf"))}
    except Exception:  # no library, no permission, or a GPU that does not count
        return {}
