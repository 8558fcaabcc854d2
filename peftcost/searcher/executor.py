"""Carries jobs to local worker processes, one per device at a time, and brings back what they say.

Workers are forked from a server that has imported the libraries and done nothing else, so that each starts warm and
none can harm another. On a GPU, whose context no fork can inherit, a worker stays for the next job as long as each one ends
well and leaves its process as it was.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any, Protocol

from peftcost.cost.device import Device
from peftcost.engine.worker import run_jobs

KILL_SECONDS = 10.0
STAYING = ("cuda",)
"""Kinds of devices whose workers stay."""


@dataclass
class Worker:
    """A child and the pipe that it speaks through. rests: it has done its job and waits for the next."""

    process: ForkServerProcess
    pipe: Connection
    rests: bool = False


class Executor(Protocol):
    """Carries jobs to where they run. Real ones start processes; the simulator's looks results up.

    patience_seconds: how long to wait for messages at most before one looks around.
    """

    patience_seconds: float
    devices: list[Device]
    log: Path

    def free(self) -> list[int]:
        """Devices that nothing runs on."""

    def start(self, index: int, kind: str, payload: dict[str, Any]) -> None:
        """Run a job on a free device."""

    def poll(self, timeout: float) -> Iterable[tuple[int, dict[str, Any]]]:
        """Messages that arrive within the timeout, with the device's index."""

    def kill(self, index: int) -> None:
        """End what runs on a device at once."""


class LocalExecutor:
    """One worker process per device at most. Use as a context manager: leaving it ends all workers."""

    patience_seconds = 0.25

    def __init__(self, devices: Sequence[Device], log: Path) -> None:
        self.devices = list(devices)
        self.log = log
        self._workers: dict[int, Worker] = {}
        self._stays = [device.kind in STAYING for device in devices]
        self._context = multiprocessing.get_context("forkserver")

    def __enter__(self) -> LocalExecutor:
        os.environ["HF_HUB_OFFLINE"] = "1"  # models were resolved before; a worker never waits for a network
        self._context.set_forkserver_preload(["peftcost.engine.preload"])
        return self

    def __exit__(self, *_: object) -> None:
        for index in list(self._workers):
            self.kill(index)

    def free(self) -> list[int]:
        """Devices that nothing runs on."""
        return [i for i in range(len(self.devices)) if i not in self._workers or self._workers[i].rests]

    def start(self, index: int, kind: str, payload: dict[str, Any]) -> None:
        """Run a job on a free device."""
        if index in self._workers and not self._workers[index].process.is_alive():
            self._forget(index)
        worker = self._workers.get(index) or self._fork(index)
        worker.rests = False
        self._workers[index] = worker
        with contextlib.suppress(OSError):  # it died this very moment: the next poll says so
            worker.pipe.send_bytes(json.dumps([kind, payload]).encode())

    def _fork(self, index: int) -> Worker:
        ours, theirs = self._context.Pipe()
        arguments = (theirs, self.devices[index].as_dict(), str(self.log), self._stays[index])
        process = self._context.Process(target=run_jobs, args=arguments, daemon=True)
        with without_main_module():
            process.start()
        theirs.close()
        return Worker(process, ours)

    def poll(self, timeout: float) -> Iterator[tuple[int, dict[str, Any]]]:
        """Messages that arrive within the timeout, with the device's index. A worker that ended without a last word
        gives {"type": "died", "exitcode"}."""
        by_pipe = {worker.pipe: index for index, worker in self._workers.items() if not worker.rests}
        for pipe in wait(list(by_pipe), timeout):
            index = by_pipe[pipe]  # type: ignore[index]
            try:
                message = json.loads(pipe.recv_bytes())  # type: ignore[union-attr]
            except (EOFError, OSError):
                process = self._workers[index].process
                process.join(KILL_SECONDS)
                message = {"type": "died", "exitcode": process.exitcode}
            if message["type"] in ("done", "failed", "died"):
                self._workers[index].rests = bool(message.get("stays"))
                if not self._workers[index].rests:
                    self._forget(index)
            yield index, message

    def kill(self, index: int) -> None:
        """End the worker of a device at once."""
        worker = self._workers.get(index)
        if worker is not None:
            worker.process.kill()
            self._forget(index)

    def _forget(self, index: int) -> None:
        worker = self._workers.pop(index)
        worker.process.join(KILL_SECONDS)
        worker.pipe.close()


@contextlib.contextmanager
def without_main_module() -> Iterator[None]:
    """Keep multiprocessing from running the caller's script again in each child: a worker needs nothing of it, and
    a script that calls peftcost.search without a main guard would start itself over."""
    main = sys.modules["__main__"]
    kept = {name: getattr(main, name) for name in ("__file__", "__spec__") if hasattr(main, name)}
    try:
        for name in kept:
            setattr(main, name, None)
        yield
    finally:
        for name, value in kept.items():
            setattr(main, name, value)
