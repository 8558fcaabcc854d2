"""Jobs that are looked up in a table instead of run, on a clock that jumps from one message to the next."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from peftcost.core.statistics import plain_value
from peftcost.cost.device import Device
from peftcost.cost.model import FIXED_SECONDS, stable_examples
from peftcost.engine.job import TrainJob
from peftcost.engine.messages import Died, Done, Failed, LastWord, Message, Phase
from peftcost.runner.slot import Slot
from peftcost.simulator.table import Record, Replay


@dataclass
class Clock:
    """Seconds that pass when somebody says so. Call it for the time."""

    seconds: float = 0.0

    def __call__(self) -> float:
        return self.seconds


@dataclass
class SimulatedExecutor:
    """Executor over a table, in one world. Several devices of a slot share a job's device-seconds evenly.

    slowness: how far a job's time lies above what is recorded, drawn per job: the deviation of its logarithm. crashes: the
    probability that a worker dies on its way. rows: what each finished job predicted, by setup id and seed.
    """

    replay: Replay
    clock: Clock
    devices: list[Device]
    slots: list[Slot]
    random: np.random.Generator
    slowness: float = 0.0
    crashes: float = 0.0
    log: Path = Path("nowhere")
    patience_seconds: float = float("inf")
    rows: dict[tuple[str, int], np.ndarray] = field(default_factory=dict)
    _messages: list[tuple[float, int, Slot, int, Message]] = field(default_factory=list)
    """Time, order, slot, job, message."""
    _busy: dict[Slot, int] = field(default_factory=dict)
    _order: Iterator[int] = field(default_factory=count)

    def free(self) -> list[Slot]:
        return [slot for slot in self.slots if slot not in self._busy]

    def start(self, slot: Slot, kind: str, payload: dict[str, Any]) -> None:
        job = next(self._order)
        self._busy[slot] = job
        for t, message in self._script(kind, payload, max(1, len(slot.devices))):
            heapq.heappush(self._messages, (t, next(self._order), slot, job, message))

    def poll(self, timeout: float) -> Iterator[tuple[Slot, Message]]:
        end = self.clock() + timeout
        while self._messages and self._messages[0][0] <= end:
            t, _, slot, job, message = heapq.heappop(self._messages)
            if self._busy.get(slot) != job:
                continue  # it was killed
            self.clock.seconds = t
            if isinstance(message, LastWord):
                del self._busy[slot]
            yield slot, message
            return
        if end < float("inf"):
            self.clock.seconds = end

    def kill(self, slot: Slot) -> None:
        self._busy.pop(slot, None)

    def _script(self, kind: str, payload: dict[str, Any], n_devices: int) -> Iterator[tuple[float, Message]]:
        """What the worker will say, and when."""
        if kind != "train":
            raise NotImplementedError(f"a table holds no {kind} jobs")
        job, t = TrainJob.from_dict(payload), self.clock()
        record = self.replay.record(job.setup, job.seed)
        if record is None:
            yield t, Failed("the table has no such training", "setup")
            return
        rows = self.replay.seen(record, all_of_dev=job.dev_rows is None)
        self.rows[job.setup.id, job.seed] = rows
        factor = (float(np.exp(self.random.normal(0.0, self.slowness))) if self.slowness else 1.0) / n_devices
        training = record.gpu_seconds - self._paid(job, record)
        yield t, Phase("startup", t)
        t += factor * record.startup_seconds
        yield t, Phase("train", t)
        if self.crashes and self.random.random() < self.crashes:
            yield t + factor * training * self.random.random(), Died(-9)
            return
        t += factor * training
        yield t, Phase("evaluate", t)
        t += factor * record.evaluation_seconds_per_example * len(rows)
        yield t, Phase("measure", t)
        yield t + factor * FIXED_SECONDS, Done(self._result(job, record, rows))

    def _paid(self, job: TrainJob, record: Record) -> float:
        """What of the training is behind the checkpoint that it goes on from."""
        if job.parent is None:
            return 0.0
        stops = [stop for stop in self.replay.table.stops if stop < job.setup.stop_examples]
        parent = type(job.setup)(job.setup.method, job.setup.hyperparameters, stops[-1])
        return record.gpu_seconds * stable_examples(parent) / job.setup.stop_examples

    def _result(self, job: TrainJob, record: Record, rows: np.ndarray) -> dict[str, Any]:
        same = ("train_loss", "dev_loss", "gpu_seconds", "startup_seconds", "peak_bytes", "process_peak_bytes")
        unknown = ("artifact_bytes", "trainable_parameters", "total_parameters")
        return {
            "seed": job.seed,
            "quality": plain_value(rows, self.replay.table.metric.compute),
            "evaluation_seconds": record.evaluation_seconds_per_example * len(rows),
            "dev_rows": job.dev_rows,
            **{name: getattr(record, name) for name in same},
            "latency_seconds": 0.0,
            **dict.fromkeys(unknown, 0),
        }
