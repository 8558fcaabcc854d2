"""The worker's side: a process takes a job from a pipe, runs it and reports, in JSON; one that stays takes further ones.

Free of torch at import: the controller names `run_jobs` as what a child shall run.
A job: [kind, payload]. Messages: {"type": "phase", "category", "t"}, {"type": "progress", "step", "total_steps",
"train_loss"}, {"type": "predicted", "peak_bytes"}, and last one of
{"type": "done", "result", "stays"}, {"type": "failed", "reason", "fault"} with fault in memory | setup | user | ours.
Times are CLOCK_MONOTONIC seconds, the same clock in all processes of a machine.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from typing import Any

from peftcost.cost.device import Device
from peftcost.engine.job import Tell, TrainJob
from peftcost.errors import DoesNotFit, PeftcostError, SetupFailed, UserError

PROGRESS_SECONDS = 0.5


class PipeTell:
    """Speaks to the controller through a pipe; progress at most every half second."""

    def __init__(self, pipe: Connection) -> None:
        self.pipe = pipe
        self._progress_at = 0.0

    def send(self, message: dict[str, Any]) -> None:
        self.pipe.send_bytes(json.dumps(message).encode())

    def phase(self, category: str) -> None:
        self.send({"type": "phase", "category": category, "t": time.monotonic()})

    def progress(self, step: int, total_steps: int, train_loss: float) -> None:
        now = time.monotonic()
        if now - self._progress_at >= PROGRESS_SECONDS:
            self._progress_at = now
            self.send({"type": "progress", "step": step, "total_steps": total_steps, "train_loss": train_loss})

    def predicted(self, peak_bytes: int) -> None:
        self.send({"type": "predicted", "peak_bytes": peak_bytes})


def run_jobs(pipe: Connection, device: dict[str, Any], log: str, stays: bool) -> None:
    """What a child process runs: the job that comes through the pipe; its prints go to the log.

    stays: then the next one, and so on, as long as each ends well and leaves the process as it was (`engine/clean.py`).
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the controller decides what an interrupt means
    redirect_output(log)
    tell, slate, goes_on = PipeTell(pipe), None, True
    with contextlib.closing(pipe), contextlib.suppress(EOFError):  # no more jobs, or the controller is gone
        while goes_on:
            kind, payload = json.loads(pipe.recv_bytes())
            goes_on = False
            with reporting_failure(tell):
                settle(Device(**device))
                if stays and slate is None:
                    from peftcost.engine.clean import Slate

                    slate = Slate()
                result = job_kinds()[kind](payload, tell)
                left = slate.left_behind() if slate is not None else []
                goes_on = stays and not left
                if left:
                    print(f"This worker is replaced after its {kind} job, which left: {'; '.join(left)}.")
                tell.send({"type": "done", "result": result, "stays": goes_on})


@contextlib.contextmanager
def reporting_failure(tell: PipeTell) -> Iterator[None]:
    """Tell of what is raised here, as whose fault it is, instead of raising it."""
    try:
        yield
    except DoesNotFit as error:
        tell.send({"type": "failed", "reason": str(error), "fault": "memory"})
    except SetupFailed as error:
        tell.send({"type": "failed", "reason": str(error), "fault": "setup"})
    except UserError as error:
        tell.send({"type": "failed", "reason": str(error), "fault": "user"})
    except Exception as error:
        traceback.print_exc()
        tell.send({"type": "failed", "reason": reason_of(error), "fault": fault_of(error)})
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


def job_kinds() -> dict[str, Callable[[dict[str, Any], Tell], dict[str, Any]]]:
    """What can be asked of a worker."""
    from peftcost.engine.artifact import baselines, open_test, write_card
    from peftcost.engine.prepare import prepare
    from peftcost.engine.probe import probe
    from peftcost.engine.selftest import selftest
    from peftcost.engine.train import train
    from peftcost.engine.train_pack import train_pack

    return {
        "prepare": prepare,
        "probe": probe,
        "train": lambda payload, tell: train(TrainJob.from_dict(payload), tell),
        "train_pack": train_pack,
        "test": open_test,
        "baselines": baselines,
        "card": write_card,
        "selftest": selftest,
    }


def settle(device: Device) -> None:
    """Make this process use exactly its device: threads, visible GPU, no network, quiet libraries."""
    if device.kind == "cuda":
        os.environ["CUDA_VISIBLE_DEVICES"] = str(device.index)
    elif device.kind == "cpu":
        os.environ["ACCELERATE_USE_CPU"] = "true"
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["TOKENIZERS_PARALLELISM"] = "true" if device.threads > 1 else "false"
    import torch

    from peftcost.engine.base_model import quiet_transformers

    torch.set_num_threads(device.threads)
    quiet_transformers()


def redirect_output(log: str) -> None:
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.close(file)


def fault_of(error: Exception) -> str:
    """Errors of torch, peft or transformers inside a job end the setup; our own end the run."""
    return "ours" if isinstance(error, PeftcostError) else "setup"


def reason_of(error: Exception) -> str:
    """One line that says what happened, with the out-of-memory cases told plainly."""
    text = " ".join(str(error).split())
    if type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in text or isinstance(error, MemoryError):
        return f"out of memory: {text[:200]}"
    return f"{type(error).__name__}: {text[:300]}"
