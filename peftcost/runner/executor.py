"""Carries jobs to local worker processes, one per slot at a time, and brings back what they say.

On a CPU each job has a process of its own, forked from a server that has imported the libraries and done nothing else. On a
GPU, whose context survives no fork, a worker is spawned, imports before the device is held, and stays for the next job as
long as each one ends well and leaves its process as it was. A spare that has imported stands by to take its place.

A slot of several devices has a group of processes (`group`), which is spawned, imports and stays in the same way, but has no
spare: a second group would import beside the first one's measurements.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, Protocol

from peftcost.cost.device import Device, cpu_cores, cpu_name
from peftcost.engine.messages import Done, LastWord, Message, Ready
from peftcost.errors import EnvironmentFailure
from peftcost.runner.slot import ASIDE, Slot, slots_of
from peftcost.runner.worker_process import Worker, fork, spawn, spawn_group

SPAWNED = ("cuda",)
"""Kinds of devices that a forked process cannot use."""


class Executor(Protocol):
    """Carries jobs to where they run. Real ones start processes; the simulator's looks results up.

    patience_seconds: how long to wait for messages at most before one looks around. slots: what jobs are started on; each
    device is in one of them.
    """

    patience_seconds: float
    devices: list[Device]
    slots: list[Slot]
    log: Path

    def free(self) -> list[Slot]:
        """Slots that a job could begin on now."""

    def start(self, slot: Slot, kind: str, payload: dict[str, Any]) -> None:
        """Run a job on a free slot, or aside."""

    def poll(self, timeout: float) -> Iterable[tuple[Slot, Message]]:
        """Messages that arrive within the timeout, with the slot that they come from.

        Times in them are on the controller's monotonic clock. Processes of one machine share that clock, so theirs are
        handed on as they are: a stamp at receipt would book what the controller spends on deciding (up to seconds) to the
        phase before. A worker on another node has another clock: an executor that reaches there adds the difference, which
        it knows from the worker's first message, sent and received within a moment.
        """

    def kill(self, slot: Slot) -> None:
        """End what runs on a slot at once."""


class LocalExecutor:
    """One worker (a process, or a group of them) per slot at most. Use as a context manager: entering it begins to import for
    slots whose workers are spawned, leaving it ends all workers. UserError when the devices are no multiple of
    devices_per_setup."""

    patience_seconds = 0.25

    def __init__(self, devices: Sequence[Device], log: Path, devices_per_setup: int = 1) -> None:
        self.devices = list(devices)
        self.slots = slots_of(len(self.devices), devices_per_setup)
        self.log = log
        spawned = {index for index, device in enumerate(devices) if device.kind in SPAWNED}
        self._spawned = {slot for slot in self.slots if len(slot.devices) > 1 or spawned & set(slot.devices)}
        self._has_gpus = bool(spawned)
        self._workers: dict[Slot, Worker] = {}
        self._spares: dict[Slot, Worker] = {}

    def __enter__(self) -> LocalExecutor:
        for slot in self._spawned:
            self._spares[slot] = self._new(slot)
        return self

    def __exit__(self, *_: object) -> None:
        for worker in (*self._workers.values(), *self._spares.values()):
            worker.kill()
        self._workers.clear()
        self._spares.clear()

    def free(self) -> list[Slot]:
        """Slots that a job could begin on now: nothing runs there, and imports are done."""
        found = {slot: self._workers.get(slot) or self._spares.get(slot) for slot in self.slots}
        return [slot for slot, worker in found.items() if worker is None or worker.state == "resting"]

    def start(self, slot: Slot, kind: str, payload: dict[str, Any]) -> None:
        """Run a job on a free slot, or aside."""
        worker = living(self._workers, slot) or living(self._spares, slot) or self._new(slot)
        if slot in self._spawned and slot not in self._spares and len(slot.devices) == 1:
            self._spares[slot] = self._new(slot)
        self._workers[slot] = worker
        worker.give(kind, payload, str(self.log))

    def _new(self, slot: Slot) -> Worker:
        log = str(self.log)
        if slot == ASIDE:
            aside = Device("cpu", cpu_name(), 0, cpu_cores())
            return spawn(aside, log) if self._has_gpus else fork(aside, log)
        devices = [self.devices[index] for index in slot.devices]
        if len(devices) > 1:
            return spawn_group(devices, log)
        return spawn(devices[0], log) if slot in self._spawned else fork(devices[0], log)

    def poll(self, timeout: float) -> Iterator[tuple[Slot, Message]]:
        """Messages that arrive within the timeout, with the slot they come from. EnvironmentFailure if a process that is
        needed dies while it imports."""
        places = [(slot, worker) for workers in (self._workers, self._spares) for slot, worker in workers.items()]
        by_pipe: dict[Any, tuple[Slot, Worker]] = {w.pipe: (slot, w) for slot, w in places if w.state != "resting"}
        for pipe in wait(list(by_pipe), timeout):
            slot, worker = by_pipe[pipe]
            message = worker.hear()
            if worker.state == "importing":
                self._has_imported(slot, message)
            elif not isinstance(message, Ready):
                if isinstance(message, LastWord):
                    self._has_ended(slot, stays=isinstance(message, Done) and message.stays)
                yield slot, message

    def _has_imported(self, slot: Slot, message: Message) -> None:
        if isinstance(message, Ready):
            self._spares[slot].state = "resting"
            return
        self._spares.pop(slot).join()
        if slot not in self._workers:
            raise EnvironmentFailure(
                f"A worker process died while it imported torch, transformers, peft and bitsandbytes; see {self.log}, "
                "and try `peftcost doctor`."
            )

    def _has_ended(self, slot: Slot, stays: bool) -> None:
        if stays:
            self._workers[slot].state = "resting"
        else:
            self._workers.pop(slot).join()

    def kill(self, slot: Slot) -> None:
        """End the worker of a slot at once."""
        worker = self._workers.pop(slot, None)
        if worker is not None:
            worker.kill()


def living(workers: dict[Slot, Worker], slot: Slot) -> Worker | None:
    """Take the worker out, if it lives."""
    worker = workers.pop(slot, None)
    if worker is None or worker.lives():
        return worker
    worker.join()
    return None
