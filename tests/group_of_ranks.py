"""A training in one process and the same in a group of two, for tests that compare them. No dropout: each rank would draw its
own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from peftcost.core.setup import Setup
from peftcost.cost.device import Device
from peftcost.engine.job import TrainJob
from peftcost.engine.messages import LastWord, Ready
from peftcost.methods import get_method
from peftcost.runner.executor import LocalExecutor

TWO = [Device("cpu", "a CPU", index, 1) for index in range(2)]
STILL = {"dropout": 0.0, "adapter_dropout": 0.0}
STOP = 410
"""Two epochs of 200 rows and a bit, in batches of 15: their last ones, of five, are uneven for two ranks."""


def training(prepared: str, out: Path, method: str, ranks: int = 1, stop: int = STOP, **changes: Any) -> TrainJob:
    out.mkdir(parents=True, exist_ok=True)
    prior = get_method(method).prior()
    choices = {**prior, "batch_size": 15, **{k: v for k, v in STILL.items() if k == "dropout" or k in prior}, **changes}
    return TrainJob(prepared, Setup.of(method, choices, stop), 3, str(out), ranks=ranks)


def last_word(executor: LocalExecutor, kind: str, payload: dict[str, Any]) -> LastWord:
    """Of a job on the executor's first slot."""
    while executor.slots[0] not in executor.free():
        list(executor.poll(1.0))
    executor.start(executor.slots[0], kind, payload)
    while True:
        for _, message in executor.poll(1.0):
            assert not isinstance(message, Ready)
            if isinstance(message, LastWord):
                return message
