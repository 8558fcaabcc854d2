"""Carries jobs to local worker processes, one per device at a time, and brings back what they say.

On a CPU each job has a process of its own, forked from a server that has imported the libraries and done nothing else. On a
GPU, whose context survives no fork, a worker is spawned, imports before the device is held, and stays for the next job as
long as each one ends well and leaves its process as it was. A spare that has imported stands by to take its place.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, Protocol

from peftcost.cost.device import Device, cpu_cores, cpu_name
from peftcost.engine.messages import Done, LastWord, Message, Ready
from peftcost.errors import EnvironmentFailure
from peftcost.runner.worker_process import Worker, fork, spawn

SPAWNED = ("cuda",)
"""Kinds of devices that a forked process cannot use."""
ASIDE = -1
"""In place of a device's index: a process that uses the CPU beside the devices and is on no bill."""


class Executor(Protocol):
    """Carries jobs to where they run. Real ones start processes; the simulator's looks results up.

    patience_seconds: how long to wait for messages at most before one looks around.
    """

    patience_seconds: float
    devices: list[Device]
    log: Path

    def free(self) -> list[int]:
        """Devices that a job could begin on now."""

    def start(self, index: int, kind: str, payload: dict[str, Any]) -> None:
        """Run a job on a free device, or aside."""

    def poll(self, timeout: float) -> Iterable[tuple[int, Message]]:
        """Messages that arrive within the timeout, with the device's index."""

    def kill(self, index: int) -> None:
        """End what runs on a device at once."""


class LocalExecutor:
    """One worker process per device at most. Use as a context manager: entering it begins to import for devices whose workers
    are spawned, leaving it ends all workers."""

    patience_seconds = 0.25

    def __init__(self, devices: Sequence[Device], log: Path) -> None:
        self.devices = list(devices)
        self.log = log
        self._spawned = {index for index, device in enumerate(devices) if device.kind in SPAWNED}
        self._workers: dict[int, Worker] = {}
        self._spares: dict[int, Worker] = {}

    def __enter__(self) -> LocalExecutor:
        for index in self._spawned:
            self._spares[index] = spawn(self.devices[index], str(self.log))
        return self

    def __exit__(self, *_: object) -> None:
        for worker in (*self._workers.values(), *self._spares.values()):
            worker.kill()
        self._workers.clear()
        self._spares.clear()

    def free(self) -> list[int]:
        """Devices that a job could begin on now: nothing runs there, and imports are done."""
        found = {index: self._workers.get(index) or self._spares.get(index) for index in range(len(self.devices))}
        return [index for index, worker in found.items() if worker is None or worker.state == "resting"]

    def start(self, index: int, kind: str, payload: dict[str, Any]) -> None:
        """Run a job on a free device, or aside."""
        worker = living(self._workers, index) or living(self._spares, index) or self._new(index)
        if index in self._spawned and index not in self._spares:
            self._spares[index] = self._new(index)
        self._workers[index] = worker
        worker.give(kind, payload, str(self.log))

    def _new(self, index: int) -> Worker:
        if index == ASIDE:
            aside = Device("cpu", cpu_name(), 0, cpu_cores())
            return spawn(aside, str(self.log)) if self._spawned else fork(aside, str(self.log))
        make = spawn if index in self._spawned else fork
        return make(self.devices[index], str(self.log))

    def poll(self, timeout: float) -> Iterator[tuple[int, Message]]:
        """Messages that arrive within the timeout, with the device's index. EnvironmentFailure if a process that is needed
        dies while it imports."""
        places = [(index, worker) for workers in (self._workers, self._spares) for index, worker in workers.items()]
        by_pipe: dict[Any, tuple[int, Worker]] = {w.pipe: (index, w) for index, w in places if w.state != "resting"}
        for pipe in wait(list(by_pipe), timeout):
            index, worker = by_pipe[pipe]
            message = worker.hear()
            if worker.state == "importing":
                self._has_imported(index, message)
            elif not isinstance(message, Ready):
                if isinstance(message, LastWord):
                    self._has_ended(index, stays=isinstance(message, Done) and message.stays)
                yield index, message

    def _has_imported(self, index: int, message: Message) -> None:
        if isinstance(message, Ready):
            self._spares[index].state = "resting"
            return
        self._spares.pop(index).join()
        if index not in self._workers:
            raise EnvironmentFailure(
                f"A worker process died while it imported torch, transformers, peft and bitsandbytes; see {self.log}, "
                "and try `peftcost doctor`."
            )

    def _has_ended(self, index: int, stays: bool) -> None:
        if stays:
            self._workers[index].state = "resting"
        else:
            self._workers.pop(index).join()

    def kill(self, index: int) -> None:
        """End the worker of a device at once."""
        worker = self._workers.pop(index, None)
        if worker is not None:
            worker.kill()


def living(workers: dict[int, Worker], index: int) -> Worker | None:
    """Take the worker out, if it lives."""
    worker = workers.pop(index, None)
    if worker is None or worker.lives():
        return worker
    worker.join()
    return None
