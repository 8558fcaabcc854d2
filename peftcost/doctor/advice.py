"""What to do about the findings. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from peftcost.core.memory import format_bytes
from peftcost.cost.device import IDLE_SHARE
from peftcost.doctor.findings import Findings, SelfTest

BUSY_CORES = 0.5
LITTLE_MEMORY = 2 * 10**9
LITTLE_DISK = 5 * 10**9
CLEARLY = 1.1
"""Two speeds closer than this factor count as the same."""


@dataclass(frozen=True)
class Advice:
    """problem: nothing can be trained. warning: it costs time or quality. note: good to know."""

    level: Literal["problem", "warning", "note"]
    text: str


def told(found: Findings) -> dict[str, Any]:
    """The findings and the advice, as `doctor --json` prints them."""
    advice = [asdict(item) for item in advise(found)]
    return {**asdict(found), "training_works": found.obstacle is None, "obstacle": found.obstacle, "advice": advice}


def advise(found: Findings) -> list[Advice]:
    """What to do, the gravest first; [] when there is nothing to say."""
    advice = [
        *problems(found),
        *device_advice(found),
        *room_advice(found),
        *precision_advice(found.precisions),
        *other_advice(found),
    ]
    return sorted(advice, key=lambda item: ("problem", "warning", "note").index(item.level))


def problems(found: Findings) -> list[Advice]:
    advice = []
    if found.missing_libraries:
        names = ", ".join(found.missing_libraries)
        only_bnb = found.missing_libraries == ["bitsandbytes"]
        cost = "the quantized methods cannot run" if only_bnb else "peftcost needs it"
        advice.append(Advice("warning" if only_bnb else "problem", f"{names} is not installed: {cost}. pip install {names}"))
    for test in found.precisions:
        if test.why_not is not None:
            level: Literal["problem", "warning"] = "problem" if test.precision == "fp32" else "warning"
            advice.append(Advice(level, f"Training in {test.precision} does not work: {test.why_not}."))
    if found.storage.why_not is not None:
        text = f"No run can be stored in {found.storage.folder}: {found.storage.why_not}. Go elsewhere, or give --out."
        advice.append(Advice("problem", text))
    return advice


def device_advice(found: Findings) -> list[Advice]:
    """GPUs that are hidden, unusable or taken."""
    advice = []
    gpus = [device for device in found.devices if device.kind == "cuda"]
    visible = found.environment.get("CUDA_VISIBLE_DEVICES")
    if found.gpus_in_machine and not gpus and visible is not None:
        what = f"is {visible!r}" if visible else "is empty"
        text = (
            f"CUDA_VISIBLE_DEVICES {what} and hides all {found.gpus_in_machine} GPUs of this machine; unset it to use them."
        )
        advice.append(Advice("warning", text))
    if gpus and all(gpu.why_not for gpu in gpus):
        text = "An NVIDIA GPU is here, but this torch is a CPU build and cannot use it; see the README, 'On CUDA'."
        advice.append(Advice("warning", text))
    for gpu in gpus:
        used = gpu.total_bytes - gpu.free_bytes
        if gpu.default and used > IDLE_SHARE * gpu.total_bytes:
            text = f"GPU {gpu.index} is in use: {format_bytes(used)} of its {format_bytes(gpu.total_bytes)} are taken."
            advice.append(Advice("warning", text))
        if gpu.default and any(test.device == "cpu" for test in found.precisions):
            text = "torch does not find the GPU that nvidia-smi shows and trains on the CPU; is the driver too old for it?"
            advice.append(Advice("warning", text))
    return advice


def room_advice(found: Findings) -> list[Advice]:
    """Memory, disk, and who else uses the cores."""
    advice = []
    if found.memory.free_bytes < LITTLE_MEMORY:
        free = format_bytes(found.memory.free_bytes)
        advice.append(Advice("warning", f"Only {free} of memory are free; that is little even for small models."))
    if found.storage.free_bytes < LITTLE_DISK:
        free = format_bytes(found.storage.free_bytes)
        text = f"Only {free} of disk are free in {found.storage.folder}; artifacts and checkpoints may not fit."
        advice.append(Advice("warning", text))
    advice += load_advice(found)
    if found.cpu_quota is not None and found.cpu_quota < found.cores:
        text = (
            f"This container may use {found.cpu_quota:.1f} cores but sees {found.cores}: as many threads slow each other "
            f"down. Start peftcost with `taskset -c 0-{max(1, int(found.cpu_quota)) - 1}`."
        )
        advice.append(Advice("warning", text))
    return advice


def load_advice(found: Findings) -> list[Advice]:
    """Foreign load makes measured costs wrong, on a CPU above all."""
    if found.load.busy_cores < BUSY_CORES:
        return []
    top = found.load.processes[0] if found.load.processes else None
    who = f"Another process ({top.name}, pid {top.pid}) uses {top.cores:.1f}" if top else "Others use"
    amount = "" if top else f" {found.load.busy_cores:.1f}"
    text = f"{who}{amount} of {found.cores} cores: trainings are slower beside it, and measured costs wrong. Wait, or end it."
    return [Advice("warning", text)]


def precision_advice(tests: Sequence[SelfTest]) -> list[Advice]:
    """How bf16 and fp16 compare with fp32, where both were timed."""
    speed = {test.precision: test.steps_per_second for test in tests if test.why_not is None}
    base = speed.get("fp32")
    advice = []
    for precision in ("bf16", "fp16"):
        other = speed.get(precision)
        if base is None or other is None:
            continue
        if base > CLEARLY * other:
            text = (
                f"{precision} is slower than fp32 here ({other:.1f} against {base:.1f} steps/s): stay with fp32, the default."
            )
            advice.append(Advice("note", text))
        elif other > CLEARLY * base:
            text = (
                f"{precision} is {other / base:.1f} times as fast as fp32 here on a small model; a setup in it may be "
                "cheaper (precision is one of a setup's choices; fp32 is the default)."
            )
            advice.append(Advice("note", text))
    return advice


def other_advice(found: Findings) -> list[Advice]:
    advice = []
    cpu = next((device for device in found.devices if device.kind == "cpu" and device.default), None)
    used = next((test.threads for test in found.precisions if test.threads is not None), None)
    if cpu is not None and used is not None and used < cpu.threads:
        text = f"torch trains with {used} of {cpu.threads} threads."
        advice.append(Advice("warning", text))
    if found.environment.get("OMP_NUM_THREADS") == "1" and found.cores > 1:
        text = (
            "OMP_NUM_THREADS is 1. Trainings set their threads themselves, but the baselines and your own scripts use "
            "one core; unset it if you did not mean that."
        )
        advice.append(Advice("note", text))
    if found.hub.state == "unreachable":
        text = f"The model hub does not answer ({found.hub.why}): cached models, folders and builtin:minilm still work."
        advice.append(Advice("note", text))
    return advice
