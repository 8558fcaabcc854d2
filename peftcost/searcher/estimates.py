"""Setups whose memory is estimated while a GPU trains them, aside: on no bill, and no training waits for it."""

from __future__ import annotations

from peftcost.engine.job import TrainJob
from peftcost.engine.messages import Done, LastWord
from peftcost.runner.executor import Executor
from peftcost.runner.slot import ASIDE

ASIDE_KINDS = ("cuda",)
"""Kinds of devices that train while the CPU estimates. A CPU estimates before it trains: it is the device itself."""


class Estimates:
    """One at a time, in the order of asking; each is asked for by a trial's number."""

    def __init__(self, executor: Executor) -> None:
        self.executor = executor
        self._waiting: dict[int, TrainJob] = {}
        self._running: tuple[int, TrainJob] | None = None

    def ask(self, trial: int, job: TrainJob) -> None:
        """Estimate this job's memory, unless that of one that needs just as much is on its way."""
        under_way = [*self._waiting.values(), *([self._running[1]] if self._running is not None else [])]
        if all(job.setup.memory_key != other.setup.memory_key for other in under_way):
            self._waiting[trial] = job
            self._next()

    def heard(self, message: LastWord) -> tuple[int, TrainJob, int] | None:
        """The trial, its job and its peak_bytes, from the last word of the job aside; None where no estimate can be made."""
        assert self._running is not None, "only what was asked for is answered"
        (trial, job), self._running = self._running, None
        self._next()
        return (trial, job, int(message.result["peak_bytes"])) if isinstance(message, Done) else None

    def forget(self) -> None:
        """End what is under way: nobody wants to know any more."""
        self._waiting.clear()
        if self._running is not None:
            self.executor.kill(ASIDE)
            self._running = None

    def _next(self) -> None:
        if self._running is None and self._waiting:
            trial = next(iter(self._waiting))
            job = self._waiting.pop(trial)
            self._running = trial, job
            self.executor.start(ASIDE, "peak_bytes", job.as_dict())
