"""Runs jobs on the devices, books their time, and is the only writer of a journal. It knows no search."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Set
from pathlib import Path
from typing import Any

from peftcost.cost.model import ENDING_SECONDS, GROUP_ENDING_SECONDS
from peftcost.engine.messages import Died, Done, Failed, LastWord, Message, Phase, Progress, died
from peftcost.errors import EnvironmentFailure, PeftcostError, UserError, tells_full_disk
from peftcost.runner.books import Books
from peftcost.runner.executor import Executor
from peftcost.runner.observer import Observer, Observers
from peftcost.runner.slot import ASIDE, Slot
from peftcost.store.journal import Journal

MOMENT_SECONDS = 0.25
HEARTBEAT_SECONDS = 2.0


class BudgetSpent(UserError):
    """The budget was used up while jobs ran that have to be run."""


class Runner:
    """Runs jobs on the devices and keeps the books. The journal may still be in memory; a folder for it comes later.

    books: the fold over the journal; who knows more of the events gives a fold that takes in more. observers: who is
    told what happens.
    """

    def __init__(self, executor: Executor, journal: Journal, books: Books, observers: Iterable[Observer] = ()) -> None:
        self.executor, self.journal, self.books = executor, journal, books
        self.observers = Observers(observers)
        self._heartbeat_at = 0.0

    # -- bookkeeping -----------------------------------------------------------------------------------------------

    def record(self, name: str, monotonic: float | None = None, **facts: Any) -> None:
        """Write an event, take it in, and tell the observers."""
        event = self.journal.write(name, monotonic, **facts)
        self.books.apply(event)
        self._tell(lambda observer: observer.on_event(event, self.books))

    def progressed(self, trial: int, progress: Progress) -> None:
        """Tell the observers how far a training is."""
        self._tell(lambda observer: observer.on_progress(trial, progress, self.books))

    def close(self) -> None:
        """Close the observers and the journal."""
        for text in self.observers.close():
            self.record("warned", text=text)
        self.journal.close()

    def _tell(self, call: Callable[[Observer], None]) -> None:
        for text in self.observers.tell(call):
            self.record("warned", text=text)

    def acquire(self) -> None:
        """When all workers have imported: from here on the devices' time is on the bill."""
        while len(self.executor.free()) < len(self.executor.slots):
            self.listen()
        for slot in self.executor.slots:
            self.record_for(slot, "acquired", category="startup")

    def record_for(self, slot: Slot, name: str, monotonic: float | None = None, **facts: Any) -> None:
        """Write an event of each device of a slot, all at one time: a second of the slot is one of each."""
        at = self.journal.monotonic() if monotonic is None else monotonic
        for device in slot.devices:
            self.record(name, at, device=device, **facts)

    def release(self) -> None:
        """End what runs and stop the bill."""
        for slot in self.executor.slots:
            self.executor.kill(slot)
        self.record_for(Slot(tuple(sorted(self.books.held))), "released")

    def release_all_but(self, busy: Set[Slot]) -> None:
        """Stop the bill of the other slots, but never of all. Their workers are ended: what keeps a GPU's memory has not
        given it back."""
        held = [slot for slot in self.executor.slots if self.holds(slot)]
        for slot in held:
            if slot not in (busy or held[:1]):
                self.executor.kill(slot)
                self.record_for(slot, "released")

    def holds(self, slot: Slot) -> bool:
        """Whether the slot's devices are on the bill."""
        return self.books.held.issuperset(slot.devices)

    def spent(self) -> float:
        return self.books.ledger.spent(self.journal.clock())

    def left_after(self, closing_seconds: float) -> float:
        return self.books.left_after(closing_seconds, self.journal.clock())

    # -- jobs ------------------------------------------------------------------------------------------------------

    def run_all(self, kind: str, payloads: list[dict[str, Any]], tell_progress: bool = True) -> list[LastWord]:
        """Run jobs of one kind on the devices that are held; the last message of each, in order. They hold to the budget.

        tell_progress: observers hear of a job's progress as of the trial that has its place; not for what is no trial."""
        waiting = list(enumerate(payloads))
        running: dict[Slot, int] = {}
        last: dict[int, LastWord] = {}
        while waiting or running:
            for slot in self.executor.free():
                if waiting and self.holds(slot):
                    job, payload = waiting.pop(0)
                    self.executor.start(slot, kind, payload)
                    running[slot] = job
            for slot, message in self.listen():
                if isinstance(message, LastWord):
                    last[running.pop(slot)] = message
                elif isinstance(message, Progress) and tell_progress:
                    self.progressed(running[slot], message)
            if self.left_after(0.0) <= self._ending_seconds() * len(self.books.held):
                for slot in running:
                    self.executor.kill(slot)
                raise BudgetSpent(
                    f"The budget of {self.books.limit_gpu_seconds:.0f} gpu-s was used up while the {kind} jobs ran; "
                    "`peftcost search` without --budget says how much this task needs."
                )
        return [last[job] for job in range(len(payloads))]

    def run_one(self, kind: str, payload: dict[str, Any]) -> dict[str, Any]:
        """The result of one job that has to work."""
        (message,) = self.run_all(kind, [payload])
        return result_of(kind, message, self.executor.log)

    def run_aside(self, kind: str, payload: dict[str, Any], seconds: float = math.inf) -> LastWord:
        """The last message of a job that needs no device and is on no bill. It is ended after so many seconds."""
        self.executor.start(ASIDE, kind, payload)
        end = self.journal.monotonic() + seconds
        while self.journal.monotonic() < end:
            for slot, message in self.listen():
                if slot == ASIDE and isinstance(message, LastWord):
                    return message
        self.executor.kill(ASIDE)
        return Failed(f"it was ended after {seconds:.0f} s", "setup")

    def listen(self) -> list[tuple[Slot, Message]]:
        """Messages of the next moment; phases of the devices are booked here."""
        heard: list[tuple[Slot, Message]] = []
        timeout = min(self.executor.patience_seconds, max(MOMENT_SECONDS, self._seconds_left()))
        for slot, message in self.executor.poll(timeout):
            if isinstance(message, Phase):
                # No clock, however wrong, books what is to come.
                self.record_for(slot, "phase", min(message.t, self.journal.monotonic()), category=message.category)
            else:
                heard.append((slot, message))
            if isinstance(message, LastWord):
                self.record_for(slot, "phase", category="idle")
        now = self.journal.monotonic()
        if now - self._heartbeat_at > HEARTBEAT_SECONDS:
            self._heartbeat_at = now
            self.record("heartbeat")
        return heard

    def _ending_seconds(self) -> float:
        """On the clock."""
        return ENDING_SECONDS if all(len(slot.devices) == 1 for slot in self.executor.slots) else GROUP_ENDING_SECONDS

    def _seconds_left(self) -> float:
        """On the clock, until the devices that are held have used the budget up to what closing takes."""
        left = self.left_after(self.books.closing_seconds())
        return max(0.0, left / max(1, len(self.books.held)))


def result_of(kind: str, message: LastWord, log: Path) -> dict[str, Any]:
    """The result of a job's last message, or the error that it is."""
    if isinstance(message, Done):
        return message.result
    if isinstance(message, Died):
        raise EnvironmentFailure(f"The {kind} worker {died(message)}; see {log}.")
    if message.fault == "user":
        raise UserError(message.reason)
    reason = message.reason.rstrip(".")
    if tells_full_disk(reason):
        raise EnvironmentFailure(f"The {kind} job found a disk that is full ({reason}); free some space, then try again.")
    raise PeftcostError(f"The {kind} job failed: {reason}. {log} says more; `peftcost doctor` tries a training here.")
