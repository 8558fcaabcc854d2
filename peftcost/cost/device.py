"""Which devices there are and which of them to use. Free of torch, so that the controller can ask."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import psutil

from peftcost.cost.cgroup import memory_allowance
from peftcost.errors import EnvironmentFailure, UserError

IDLE_SHARE = 0.05
"""A GPU whose memory is used by less than this share counts as idle."""
OWN_BYTES = 5 * 10**8
"""What the controller and the fork server that workers come from hold themselves."""
AMPERE = 8.0
"""The compute capability from which GPUs compute in bf16."""
MIG = "MIG-"
"""Begins the name of a slice of a GPU. nvidia-smi's table lacks its memory; GPUs with slices are all Ampere or later."""
GPU_THREADS = 4
"""Threads of a GPU's worker: it starts kernels from one, and reads and evaluates a little on the others."""


@dataclass(frozen=True)
class Device:
    """One device that hours are counted on: a GPU, or the CPU (or an equal part of it). memory_bytes:
    what of its memory was free for training when it was chosen, 0 if unknown. computes_in_bf16: has instructions for it.
    uuid: of a slice of a GPU (MIG), which CUDA knows by this name alone, else ""."""

    kind: Literal["cpu", "cuda", "mps"]
    name: str
    index: int
    threads: int
    memory_bytes: int = 0
    computes_in_bf16: bool = False
    uuid: str = ""

    @property
    def cuda_name(self) -> str:
        """What CUDA_VISIBLE_DEVICES calls it."""
        return self.uuid or str(self.index)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Gpu:
    """One line of nvidia-smi. total_bytes, used_bytes: 0 where it does not tell. compute_capability: CUDA's number of the
    generation, 0.0 from drivers too old to tell. is_sliced: CUDA gives out its slices (MIG) alone."""

    index: str
    uuid: str
    name: str
    total_bytes: int
    used_bytes: int
    compute_capability: float = 0.0
    is_sliced: bool = False

    def as_device(self, threads: int) -> Device:
        free_bytes = max(0, self.total_bytes - self.used_bytes)
        has_bf16, own_uuid = self.compute_capability >= AMPERE, self.uuid if self.uuid.startswith(MIG) else ""
        return Device("cuda", self.name, int(self.index), threads, free_bytes, has_bf16, own_uuid)


def choose_devices(wanted: str | None = None) -> list[Device]:
    """The devices to use: one idle GPU, else the CPU; more only when `wanted` asks, as in "cuda:2" or "cpu:2".

    CUDA_VISIBLE_DEVICES (which SLURM sets as well) limits the choice. UserError for an unknown or impossible wish,
    EnvironmentFailure when GPUs were asked for and none is to be had.
    """
    kind, _, count_text = (wanted or "").partition(":")
    if kind not in ("", "cpu", "cuda", "mps") or (count_text and not count_text.isdigit()) or count_text == "0":
        raise UserError(f"--devices {wanted!r} is not understood: say cpu, cpu:2, cuda, cuda:2 or mps.")
    count = int(count_text or 1)
    gpus = visible_gpus() if kind in ("", "cuda") else []
    if kind == "cuda" and not gpus:
        raise EnvironmentFailure("--devices asks for cuda, but nvidia-smi shows no GPU here; use --devices cpu.")
    if gpus and not torch_is_cpu_build():
        idle = sorted(gpus, key=lambda gpu: gpu.used_bytes / max(1, gpu.total_bytes))[:count]
        if len(idle) < count:
            raise UserError(f"--devices asks for {count} GPUs, but {len(gpus)} can be seen; ask for at most those.")
        threads = max(1, min(GPU_THREADS, cpu_cores() // count))
        return [gpu.as_device(threads) for gpu in idle]
    if kind == "cuda":
        raise UserError("--devices asks for cuda, but this torch is a CPU build; the README says how to install one.")
    if kind == "mps" and count > 1:
        raise UserError(f"--devices {wanted} asks for {count} devices, but an Apple GPU is one; use --devices mps.")
    if kind == "mps":
        return [Device("mps", "Apple GPU", 0, cpu_cores(), free_for_training())]
    if count > cpu_cores():
        raise UserError(
            f"--devices cpu:{count} asks for more parts than this CPU has cores; ask for at most cpu:{cpu_cores()}."
        )
    memory_bytes = free_for_training() // count
    return [Device("cpu", cpu_name(), i, cpu_cores() // count, memory_bytes) for i in range(count)]


def visible_gpus() -> list[Gpu]:
    """The NVIDIA GPUs that this process may use: those of the machine that CUDA_VISIBLE_DEVICES leaves; of a GPU with slices
    these."""
    gpus = machine_gpus()
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = [part.strip() for part in (allowed or "").split(",") if part.strip()]
    if allowed is not None:
        wanted = [gpu for gpu in gpus if gpu.index in names or any(gpu.uuid.startswith(n) for n in names)]
    else:
        wanted = gpus
    slices = mig_slices([gpu for gpu in wanted if gpu.is_sliced], [name for name in names if name.startswith(MIG) and gpus])
    return [gpu for gpu in wanted if not (gpu.is_sliced and slices)] + slices


def mig_slices(gpus: list[Gpu], uuids: list[str]) -> list[Gpu]:
    """Slices: all of these GPUs, and those of these names, as SLURM gives them to a job. index: their places."""
    if not gpus and not uuids:
        return []
    found: dict[str, tuple[str, str]] = {}
    gpu_uuid = ""
    for line in nvidia_smi(["-L"]).splitlines():
        if of_gpu := re.match(r"GPU .*\(UUID: (GPU-\S+)\)", line):
            gpu_uuid = of_gpu[1]
        elif of_slice := re.match(r"\s*(MIG \S+).*\(UUID: (MIG-\S+)\)", line):
            found[of_slice[2]] = of_slice[1], gpu_uuid
    whole = {gpu.uuid for gpu in gpus}
    every = [*(uuid for uuid, (_, of) in found.items() if of in whole), *uuids]
    return [Gpu(str(i), uuid, found.get(uuid, ("MIG slice", ""))[0], 0, 0, AMPERE) for i, uuid in enumerate(every)]


def machine_gpus() -> list[Gpu]:
    """The NVIDIA GPUs of this machine, [] without any. Read from nvidia-smi."""
    if shutil.which("nvidia-smi") is None:
        return []
    fields = ["index", "uuid", "name", "memory.total", "memory.used"]
    lines = query([*fields, "compute_cap", "mig.mode.current"]) or query(fields)
    gpus = []
    for index, uuid, name, total, used, *more in lines:
        total_bytes, used_bytes = int(number(total)) << 20, int(number(used)) << 20
        capability, is_sliced = (number(more[0]), more[1] == "Enabled") if more else (0.0, False)
        gpus.append(Gpu(index, uuid, name, total_bytes, used_bytes, capability, is_sliced))
    return gpus


def number(text: str) -> float:
    """What nvidia-smi says, 0 where it says that it cannot tell: "[N/A]", "[Insufficient Permissions]"."""
    try:
        return float(text)
    except ValueError:
        return 0.0


def query(fields: list[str]) -> list[list[str]]:
    """The fields of each GPU, [] where nvidia-smi does not know one of them or fails."""
    text = nvidia_smi([f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits"])
    return [[part.strip() for part in line.split(",")] for line in text.splitlines()]


def nvidia_smi(options: list[str]) -> str:
    """What it prints, "" where it fails."""
    try:
        return subprocess.run(["nvidia-smi", *options], capture_output=True, text=True, timeout=30, check=True).stdout
    except (subprocess.SubprocessError, OSError):
        return ""


def torch_is_cpu_build() -> bool:
    """Whether the installed torch cannot use CUDA whatever the machine has."""
    return "+cpu" in version("torch")


def usable_cores() -> list[int]:
    """Numbers of the cores that this process may run on (affinity and cpusets included where the system tells)."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def cpu_cores() -> int:
    """How many cores this process may run on."""
    return len(usable_cores())


def host_memory() -> tuple[int, int]:
    """(total, free) bytes of the machine's memory, or of what this process is allowed of it."""
    memory = psutil.virtual_memory()
    totals, frees = zip((memory.total, memory.available), *memory_allowance(), strict=True)
    return min(totals), min(frees)


def free_for_training() -> int:
    """Bytes of the machine's memory that a search may give to its workers."""
    return max(1, host_memory()[1] - OWN_BYTES)


def cpu_name() -> str:
    """The processor's name as the system gives it."""
    return cpu_fact("model name") or platform.processor() or platform.machine()


def cpu_computes_in_bf16() -> bool:
    """Whether the processor has instructions for bf16; without them it is several times slower than fp32."""
    return bool({"avx512_bf16", "amx_bf16", "bf16"} & set((cpu_fact("flags") or cpu_fact("Features")).split()))


def cpu_fact(name: str) -> str:
    """What Linux says of the first core under this name, "" if nothing."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == name:
                return value.strip()
    return ""
