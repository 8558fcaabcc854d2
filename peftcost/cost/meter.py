"""Measures memory as DESIGN defines it: `peak_bytes` of live tensors, and what the operating system saw."""

from __future__ import annotations

import contextlib
import gc
import resource
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import torch

CLEAR_REFS = Path("/proc/self/clear_refs")
STATUS = Path("/proc/self/status")


class Stopwatch:
    """Laps on a clock that waits for the device first, so that queued work is counted where it belongs."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._since = self._now()

    def lap(self) -> float:
        """Seconds since the last lap, or since the start."""
        now = self._now()
        seconds, self._since = now - self._since, now
        return seconds

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()


def reset_peaks(device: torch.device) -> None:
    """Forget earlier peaks, so that the next reading is of what comes now. Linux and CUDA; elsewhere a no-op."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    with contextlib.suppress(OSError):
        CLEAR_REFS.write_text("5")  # resets VmHWM, see proc(5)


def process_peak_bytes(device: torch.device) -> int:
    """The high-water mark since `reset_peaks`: the resident set on a CPU; on a GPU the driver's figure, which is the
    allocator's most reserved and what lies beside it (context, kernels; other programs' memory, if there are any)."""
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        beside = total - free - torch.cuda.memory_reserved(device)
        return torch.cuda.max_memory_reserved(device) + max(0, beside)
    if STATUS.exists():
        for line in STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def persistent_tensors(model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> Iterator[torch.Tensor]:
    """Every tensor that lives between steps: parameters, buffers, quantization constants, optimizer states."""
    for tensor in [*model.parameters(), *model.buffers()]:
        yield tensor
        yield from _quantization_constants(tensor)
    for state in optimizer.state.values():
        yield from (value for value in state.values() if isinstance(value, torch.Tensor))


def _quantization_constants(tensor: torch.Tensor) -> Iterator[torch.Tensor]:
    """bitsandbytes hangs block maxima, code books and 8-bit scales on the parameter, outside of named buffers."""
    for name in ("CB", "SCB"):
        value = getattr(tensor, name, None)
        if isinstance(value, torch.Tensor):
            yield value
    state = getattr(tensor, "quant_state", None)
    while state is not None:
        for name in ("absmax", "code", "offset"):
            value = getattr(state, name, None)
            if isinstance(value, torch.Tensor):
                yield value
        state = getattr(state, "state2", None)


def storage_bytes(tensors: Iterable[torch.Tensor]) -> int:
    """Bytes of the distinct storages behind the tensors; views and tied weights count once."""
    sizes = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}
    return sum(sizes.values())


MICRO_BATCHES_TO_PEAK = 2
"""Of one step: the second finds the gradients of the first, further ones only repeat it."""


def step_peak_bytes(
    step: Callable[[], None], model: torch.nn.Module, optimizer: torch.optim.Optimizer, device: torch.device
) -> int:
    """`peak_bytes` of one training step that is run here, untimed: call it with the largest batch.

    On a GPU it is the allocator's peak, less what cuBLAS takes there for itself. On a CPU: the persistent tensors plus the
    highest running sum of the profiler's memory events, which depends neither on malloc nor on mapped files.
    """
    optimizer.zero_grad(set_to_none=True)
    if device.type == "cuda":
        gc.collect()  # what earlier steps left in circles is none of this one's
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        step()
        torch.cuda.synchronize(device)
        peak, allocated = torch.cuda.max_memory_allocated(device), torch.cuda.memory_allocated(device)
        torch._C._cuda_clearCublasWorkspaces()
        return peak - (allocated - torch.cuda.memory_allocated(device))
    persistent = storage_bytes(persistent_tensors(model, optimizer))
    activities = [torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=activities, profile_memory=True) as profile:
        step()
    return persistent + highest_running_sum(
        event.nbytes()  # type: ignore[attr-defined]
        for event in sorted(_memory_events(profile), key=lambda event: event.start_ns())
    )


def _memory_events(profile: torch.profiler.profile) -> list[torch._C._autograd._KinetoEvent]:
    results = profile.profiler.kineto_results if profile.profiler is not None else None
    return [event for event in results.events() if event.name() == "[memory]"] if results is not None else []


def highest_running_sum(changes: Iterable[int]) -> int:
    """The highest value that the sum of the changes reaches on its way, at least 0."""
    total = highest = 0
    for change in changes:
        total += change
        highest = max(highest, total)
    return highest
