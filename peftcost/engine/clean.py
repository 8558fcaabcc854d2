"""Whether a job has left its process as it was, so that the next one may run in it and measure the same."""

from __future__ import annotations

import gc
import os
import threading

import psutil
import torch

TOLERATED_BYTES = 2**20
"""Of tensors that libraries make once and keep (bitsandbytes' tables of codes). Less than any model, and counted from the
process's first job on, so that no leak goes on for long."""


class ProcessBaseline:
    """How a process was before its first job, and what tensors it still held after it."""

    def __init__(self) -> None:
        self.settings = settings()
        self.tensor_bytes: int | None = None

    def leaks(self) -> list[str]:
        """After a job that is done: throw away what nobody holds, and name what is left of it. Empty if it is clean."""
        held, now = tensor_bytes(), settings()
        if self.tensor_bytes is None:
            self.tensor_bytes = held
        changed = [name for name in {**self.settings, **now} if now.get(name) != self.settings.get(name)]
        more = held - self.tensor_bytes
        return changed + ([f"{more} bytes of tensors"] if more > TOLERATED_BYTES else [])


def settings() -> dict[str, object]:
    """All of this process that a job could change and that would change the next one's results or speed."""
    return {
        "default dtype": torch.get_default_dtype(),
        "default device": torch.get_default_device(),
        "threads": torch.get_num_threads(),
        "gradients": torch.is_grad_enabled(),
        "inference mode": torch.is_inference_mode_enabled(),
        "anomaly detection": torch.is_anomaly_enabled(),
        "autocast": (torch.is_autocast_enabled("cpu"), torch.is_autocast_enabled("cuda")),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "matmul": torch.get_float32_matmul_precision(),
        "cudnn": (torch.backends.cudnn.enabled, torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic),
        "tf32": (torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32),
        "attention": (
            torch.backends.cuda.flash_sdp_enabled(),
            torch.backends.cuda.mem_efficient_sdp_enabled(),
            torch.backends.cuda.math_sdp_enabled(),
        ),
        "folder": os.getcwd(),
        "python threads": threading.active_count(),
        "children": len(psutil.Process().children()),
        **{f"environment variable {name}": value for name, value in os.environ.items()},
    }


def tensor_bytes() -> int:
    """What living tensors hold, of the CPU's memory and of a GPU's, after everything unreachable is gone."""
    gc.collect()
    return cpu_tensor_bytes() + cuda_tensor_bytes()


def cpu_tensor_bytes() -> int:
    """What living tensors hold of the CPU's memory."""
    storages = {}
    for found in gc.get_objects():
        if issubclass(type(found), torch.Tensor) and found.device.type == "cpu" and found.layout == torch.strided:
            storage = found.untyped_storage()
            if storage.device.type == "cpu":  # fake tensors have none there
                storages[storage.data_ptr()] = storage.nbytes()
    return sum(storages.values())


def cuda_tensor_bytes() -> int:
    """What the allocator has given out, without the workspaces that cuBLAS keeps."""
    if not torch.cuda.is_initialized():
        return 0
    torch._C._cuda_clearCublasWorkspaces()
    torch.cuda.empty_cache()
    return torch.cuda.memory_allocated()
