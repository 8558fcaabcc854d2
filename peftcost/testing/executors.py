"""The contract of executors, to be run over one's own: derive a test class, give it `executor`, `job` and `failing_job`."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from peftcost.engine.messages import Died, Done, Failed, LastWord, Message, Phase
from peftcost.runner.books import Books
from peftcost.runner.executor import Executor
from peftcost.runner.runner import Runner
from peftcost.runner.slot import ASIDE, Slot
from peftcost.store.journal import Journal

POLL_SECONDS = 0.25
QUIET_POLLS = 4
"""So many polls in a row that bring nothing show that nothing more comes."""

Job = tuple[str, dict[str, Any]]
"""The kind of a job and its payload."""


def heard(executor: Executor) -> list[tuple[Slot, Message]]:
    """What a moment brings."""
    return list(executor.poll(POLL_SECONDS))


def wait_until_free(executor: Executor) -> None:
    """Until all workers have imported."""
    while len(executor.free()) < len(executor.slots):
        assert heard(executor) == []


def finish(executor: Executor, *slots: Slot) -> dict[Slot, list[Message]]:
    """What is said on these slots, and nowhere else, until each has said its last word."""
    said: dict[Slot, list[Message]] = {slot: [] for slot in slots}
    while not all(messages and isinstance(messages[-1], LastWord) for messages in said.values()):
        for slot, message in heard(executor):
            assert not any(isinstance(earlier, LastWord) for earlier in said[slot])
            said[slot].append(message)
    return said


class ExecutorContract:
    """What every executor holds to."""

    @pytest.fixture
    def executor(self) -> Executor:
        """One that was entered, if it is a context manager."""
        raise NotImplementedError

    def job(self, folder: Path) -> Job:
        """A short job that works and says which phases it is in. folder: a new one, for what it writes."""
        raise NotImplementedError

    def failing_job(self, folder: Path) -> Job:
        """A job that gives no result."""
        raise NotImplementedError

    def clock(self, executor: Executor) -> Callable[[], float]:
        """The clock that messages are stamped with, in seconds."""
        return time.monotonic

    def start_doomed(self, executor: Executor, slot: Slot, job: Job) -> bool:
        """Start a job and end its worker from outside, as a system without memory does. False where this cannot happen."""
        return False

    def new_job(self, folder: Path) -> Job:
        """The next job, with a folder of its own."""
        own = folder / f"job-{len(list(folder.glob('job-*')))}"
        own.mkdir()
        return self.job(own)

    def test_each_device_is_in_one_slot(self, executor: Executor) -> None:
        numbers = [device for slot in executor.slots for device in slot.devices]
        assert sorted(numbers) == list(range(len(executor.devices)))
        assert ASIDE not in executor.slots

    def test_a_job_holds_its_slot_until_its_last_word(self, executor: Executor, tmp_path: Path) -> None:
        wait_until_free(executor)
        slot, *others = executor.slots
        clock = self.clock(executor)
        before = clock()
        executor.start(slot, *self.new_job(tmp_path))
        assert executor.free() == others
        *messages, last = finish(executor, slot)[slot]
        assert isinstance(last, Done)
        assert executor.free() == executor.slots
        times = [message.t for message in messages if isinstance(message, Phase)]
        assert times and times == sorted(times)
        assert before <= times[0] and times[-1] <= clock()

    def test_a_job_that_fails_says_why_and_the_next_one_works(self, executor: Executor, tmp_path: Path) -> None:
        wait_until_free(executor)
        slot = executor.slots[0]
        executor.start(slot, *self.failing_job(tmp_path))
        last = finish(executor, slot)[slot][-1]
        assert isinstance(last, Failed) and last.reason
        wait_until_free(executor)
        executor.start(slot, *self.new_job(tmp_path))
        assert isinstance(finish(executor, slot)[slot][-1], Done)

    def test_a_killed_job_says_nothing_more_and_the_others_go_on(self, executor: Executor, tmp_path: Path) -> None:
        wait_until_free(executor)
        killed, *others = executor.slots
        for slot in executor.slots:
            executor.start(slot, *self.new_job(tmp_path))
        executor.kill(killed)
        said = finish(executor, *others)  # fails on a message of the one that was killed
        assert all(isinstance(messages[-1], Done) for messages in said.values())
        assert [heard(executor) for _ in range(QUIET_POLLS)] == [[]] * QUIET_POLLS
        wait_until_free(executor)
        executor.start(killed, *self.new_job(tmp_path))
        assert isinstance(finish(executor, killed)[killed][-1], Done)

    def test_a_worker_that_dies_is_told(self, executor: Executor, tmp_path: Path) -> None:
        wait_until_free(executor)
        slot = executor.slots[0]
        if not self.start_doomed(executor, slot, self.new_job(tmp_path)):
            pytest.skip("no worker of this executor dies alone")
        assert isinstance(finish(executor, slot)[slot][-1], Died)

    def test_a_job_aside_takes_no_slot(self, executor: Executor, tmp_path: Path) -> None:
        wait_until_free(executor)
        executor.start(ASIDE, *self.new_job(tmp_path))
        assert executor.free() == executor.slots
        assert isinstance(finish(executor, ASIDE)[ASIDE][-1], Done)

    def test_the_books_add_up_over_its_messages(self, executor: Executor, tmp_path: Path) -> None:
        """Two jobs a slot: each device is in exactly one category at a time, from acquiring to releasing."""
        journal, books = Journal(monotonic=self.clock(executor)), Books()
        runner = Runner(executor, journal, books)
        runner.acquire()
        acquired = journal.clock()
        kind, first = self.new_job(tmp_path)
        rest = [self.new_job(tmp_path)[1] for _ in range(2 * len(executor.slots) - 1)]
        results = runner.run_all(kind, [first, *rest])
        runner.release()
        assert all(isinstance(result, Done) for result in results)
        held = len(executor.devices) * (journal.clock() - acquired)
        assert books.ledger.spent() == pytest.approx(held, abs=0.5)
        assert sum(books.ledger.totals().values()) == pytest.approx(books.ledger.spent())
        assert not books.held
