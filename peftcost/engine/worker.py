"""The worker's side: a process takes a job from a pipe, runs it and reports, in JSON; one that stays takes further ones.

Free of torch at import: the runner names `run_jobs` or `run_spawned` as what a child shall run. What goes through the
pipe is in `messages`.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from peftcost.core.terminal import leave_to_caller
from peftcost.cost.device import Device
from peftcost.engine.job import NullReporter, Reporter, TrainJob
from peftcost.engine.messages import Done, Failed, Fault, Job, Message, Phase, Predicted, Progress, Ready, dict_of
from peftcost.errors import DoesNotFit, PeftcostError, SetupFailed, UserError

PROGRESS_SECONDS = 0.5


class PipeReporter:
    """Speaks to the runner through a pipe. Progress is told at most every half second, and before anything else is."""

    def __init__(self, pipe: Connection) -> None:
        self.pipe = pipe
        self._progress_at = 0.0
        self._untold: dict[int, Progress] = {}
        """By member."""

    def send(self, message: Message) -> None:
        self._tell_progress()
        self._send(message)

    def _send(self, message: Message) -> None:
        self.pipe.send_bytes(json.dumps(dict_of(message)).encode())

    def phase(self, category: str) -> None:
        self.send(Phase(category, time.monotonic()))

    def progress(self, progress: Progress) -> None:
        before = self._untold.get(progress.member)
        self._untold[progress.member] = progress if before is None else progress.after(before)
        if time.monotonic() - self._progress_at >= PROGRESS_SECONDS:
            self._tell_progress()

    def _tell_progress(self) -> None:
        self._progress_at = time.monotonic()
        for progress in self._untold.values():
            self._send(progress)
        self._untold.clear()

    def predicted(self, peak_bytes: int) -> None:
        self.send(Predicted(peak_bytes))


def run_spawned(pipe: Connection, devices: Sequence[Mapping[str, Any]], log: str) -> None:
    """What a spawned child runs: it imports everything, says so, and takes jobs for as long as each leaves it clean.

    devices: its own; of a group of ranks those of all, by rank."""
    leave_to_caller()
    redirect_output(log)
    with contextlib.suppress(ImportError):  # the job that needs what is missing says so
        import peftcost.engine.preload  # noqa: F401
    gc.freeze()  # what was imported stays: looking for what a job has left need not go through it
    PipeReporter(pipe).send(Ready())
    run_jobs(pipe, devices, log, stays=True)


def run_jobs(pipe: Connection, devices: Sequence[Mapping[str, Any]], log: str, stays: bool) -> None:
    """What a child process runs: the job that comes through the pipe; its prints go to the log that comes with it.

    stays: then the next one, and so on, as long as each ends well and leaves the process as it was (`engine/clean.py`).
    """
    leave_to_caller()
    if not Path(log).parent.is_dir():  # the runner has ended, and taken it along, while the fork server still imported
        return
    redirect_output(log)
    reporter, baseline, goes_on = PipeReporter(pipe), None, True
    with contextlib.closing(pipe), contextlib.suppress(EOFError):  # no more jobs, or the runner is gone
        while goes_on:
            job = Job.from_dict(json.loads(pipe.recv_bytes()))
            redirect_output(job.log)
            goes_on = False
            with reporting_failure(reporter):
                if stays and baseline is None:
                    reporter.phase("startup")  # a device that stood still begins to work: its context is made
                configure_process(*(Device(**device) for device in devices))
                if stays and baseline is None:
                    from peftcost.engine.clean import ProcessBaseline

                    baseline = ProcessBaseline()
                result = job_kinds()[job.kind](job.payload, reporter_here(reporter))
                left = baseline.leaks() if baseline is not None else []
                goes_on = stays and not left
                if left:
                    print(f"This worker is replaced after its {job.kind} job, which left: {'; '.join(left)}.")
                reporter.send(Done(result, goes_on))


def reporter_here(reporter: Reporter) -> Reporter:
    """Of several ranks the main one speaks; the others' last words are heard beside."""
    from peftcost.engine import ranks

    return reporter if ranks.is_main() else NullReporter()


@contextlib.contextmanager
def reporting_failure(reporter: PipeReporter) -> Iterator[None]:
    """Tell of what is raised here, as whose fault it is, instead of raising it."""
    try:
        yield
    except DoesNotFit as error:
        reporter.send(Failed(str(error), "memory"))
    except SetupFailed as error:
        reporter.send(Failed(str(error), "setup"))
    except UserError as error:
        reporter.send(Failed(str(error), "user"))
    except Exception as error:
        traceback.print_exc()
        reporter.send(Failed(reason_of(error), fault_of(error)))
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


def job_kinds() -> dict[str, Callable[[dict[str, Any], Reporter], dict[str, Any]]]:
    """What can be asked of a worker."""
    from peftcost.engine.answers import answer
    from peftcost.engine.artifact import (
        baselines,
        evaluate_examples,
        open_test,
        predict,
        reload,
        untuned,
        write_card,
        write_whole,
    )
    from peftcost.engine.attributions import attribute
    from peftcost.engine.estimate import estimate, peak_bytes_of
    from peftcost.engine.least_time import least_time
    from peftcost.engine.prepare import prepare
    from peftcost.engine.probe import probe
    from peftcost.engine.selftest import selftest
    from peftcost.engine.train import train
    from peftcost.engine.train_pack import train_pack

    return {
        "prepare": prepare,
        "estimate": estimate,
        "peak_bytes": peak_bytes_of,
        "least_time": least_time,
        "probe": probe,
        "train": lambda payload, reporter: train(TrainJob.from_dict(payload), reporter),
        "train_pack": train_pack,
        "test": open_test,
        "reload": reload,
        "predict": predict,
        "evaluate": evaluate_examples,
        "untuned": untuned,
        "answer": answer,
        "baselines": baselines,
        "card": write_card,
        "whole": write_whole,
        "attribute": attribute,
        "selftest": selftest,
    }


def configure_process(device: Device, *others: Device) -> None:
    """Make this process use exactly its device: threads, visible GPU, no network, quiet libraries.

    others: beside the first one, those of a group of ranks, of which this process is one."""
    os.environ.update(environment_of(device, *others))
    import torch

    from peftcost.engine import ranks
    from peftcost.engine.base_model import quiet_transformers

    torch.set_num_threads(device.threads)
    if others:
        ranks.join()  # on a GPU it chooses this rank's own
    if device.kind == "cuda":
        torch.cuda.synchronize()  # makes the context before anything is timed
        torch.set_float32_matmul_precision("high")  # TF32 for what stays in fp32
    quiet_transformers()


def environment_of(device: Device, *others: Device) -> dict[str, str]:
    """Environment variables of a process that works on this device, which torch and CUDA read when they are imported.

    others: of the same kind, on which its group's other ranks work: each finds its own by its place among them."""
    values = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "true" if device.threads > 1 else "false"}
    if device.kind == "cuda":
        # Numbers of GPUs are nvidia-smi's; CUDA's own order is by speed.
        names = ",".join(one.cuda_name for one in (device, *others))
        values |= {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": names}
        # OpenMP threads spin while they wait, and a worker on a GPU mostly waits.
        values |= {"OMP_NUM_THREADS": str(device.threads), "OMP_WAIT_POLICY": "PASSIVE"}
    elif device.kind == "cpu":
        values |= {"ACCELERATE_USE_CPU": "true", "CUDA_VISIBLE_DEVICES": ""}
    return values


def redirect_output(log: str) -> None:
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.close(file)


def fault_of(error: Exception) -> Fault:
    """Errors of torch, peft or transformers inside a job end the setup; our own end the run."""
    return "ours" if isinstance(error, PeftcostError) else "setup"


def reason_of(error: Exception) -> str:
    """One line that says what happened, with failed kernels and the out-of-memory cases told plainly."""
    text = " ".join(str(error).split())
    cuda_error = text.partition("CUDA error: ")[2]
    if type(error).__name__ == "OutOfMemoryError" or isinstance(error, MemoryError) or is_out_of_memory(text):
        return f"out of memory: {text[:200]}"
    if cuda_error.startswith("device-side assert"):
        return (
            "a CUDA kernel failed (device-side assert): an index or a value was out of range; the worker's log names the "
            "assertion"
        )
    if cuda_error:
        return f"a CUDA kernel failed ({type(error).__name__}): {cuda_error[:200]}"
    return f"{type(error).__name__}: {text[:300]}"


def is_out_of_memory(text: str) -> bool:
    return "can't allocate memory" in text or "CUDA error: out of memory" in text
