"""Several devices a setup: groups of processes, launched for real, against one process."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from group_of_ranks import TWO, last_word, training

from peftcost.engine.messages import Died, Done, Failed
from peftcost.methods import methods
from peftcost.runner.executor import LocalExecutor


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ranks") / "workers.log"


@pytest.fixture(scope="module")
def one(log: Path) -> Iterator[LocalExecutor]:
    with LocalExecutor(TWO[:1], log) as executor:
        yield executor


@pytest.fixture(scope="module")
def two(log: Path) -> Iterator[LocalExecutor]:
    """A group that stays from test to test: to launch one takes long."""
    with LocalExecutor(TWO, log, devices_per_setup=2) as executor:
        yield executor


def alone_and_together(
    one: LocalExecutor, two: LocalExecutor, prepared: str, folder: Path, method: str, **changes: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The results of the same training in one process and in two."""
    alone = last_word(one, "train", training(prepared, folder / "one", method, **changes).as_dict())
    together = last_word(two, "train", training(prepared, folder / "two", method, 2, **changes).as_dict())
    assert isinstance(alone, Done) and isinstance(together, Done), (alone, together)
    return alone.result, together.result


def check_the_same(alone: dict[str, Any], together: dict[str, Any], folder: Path, within: float) -> None:
    """Losses and dev rows, within float noise; costs and memory are told of both devices."""
    assert together["train_loss"] == pytest.approx(alone["train_loss"], rel=within)
    assert together["dev_loss"] == pytest.approx(alone["dev_loss"], rel=within)
    rows = [np.load(folder / name / "dev_rows.npy")[:, :2] for name in ("one", "two")]
    assert rows[0].shape == rows[1].shape
    assert (rows[0] != rows[1]).any(axis=1).sum() <= 1, "one that rounding may turn"
    assert (alone["ranks"], together["ranks"]) == (1, 2)
    assert alone["summed_peak_bytes"] == alone["peak_bytes"]
    assert together["peak_bytes"] < together["summed_peak_bytes"] <= 2 * together["peak_bytes"]
    assert together["artifact_bytes"] == alone["artifact_bytes"]


@pytest.mark.parametrize("batch_size", [15, 199], ids=["uneven", "a rank without rows"])
def test_two_ranks_train_as_one_process_does(
    one: LocalExecutor, two: LocalExecutor, prepared: str, tmp_path: Path, batch_size: int
) -> None:
    alone, together = alone_and_together(one, two, prepared, tmp_path, "lora", batch_size=batch_size)
    check_the_same(alone, together, tmp_path, 1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("method", sorted(methods()))
def test_every_method_trains_on_two_ranks_as_in_one_process(
    one: LocalExecutor, two: LocalExecutor, prepared: str, tmp_path: Path, method: str
) -> None:
    alone, together = alone_and_together(one, two, prepared, tmp_path, method)
    check_the_same(alone, together, tmp_path, 2e-2 if "int8" in method else 1e-4)


def test_a_longer_training_goes_on_from_a_checkpoint_of_two_ranks(two: LocalExecutor, prepared: str, tmp_path: Path) -> None:
    """With dropout: each rank goes on with its own random state, so that the result is what it would be without a pause."""
    found = []
    for name, stops in (("paused", (205, 410)), ("straight", (410,))):
        parent = None
        for stop in stops:
            out = tmp_path / f"{name}-{stop}"
            job = replace(training(prepared, out, "lora", 2, stop=stop, dropout=0.1), parent=parent)
            message = last_word(two, "train", job.as_dict())
            assert isinstance(message, Done), message
            parent = str(out / "checkpoint")
        found.append(message.result)
    assert found[0]["dev_loss"] == found[1]["dev_loss"]
    assert found[0]["train_loss"] == found[1]["train_loss"]


def test_a_rank_that_is_killed_ends_the_job_and_the_next_one_runs(two: LocalExecutor, prepared: str, tmp_path: Path) -> None:
    (slot,) = two.slots
    while slot not in two.free():
        list(two.poll(1.0))
    two.start(slot, "train", training(prepared, tmp_path / "killed", "lora", 2, stop=10**6).as_dict())
    while not any(True for _ in two.poll(1.0)):
        pass
    ranks = ranks_of(two)
    assert len(ranks) == 2
    ranks[1].kill()
    told: list[Any] = []
    while not told:
        told = [message for _, message in two.poll(1.0) if isinstance(message, Died | Failed | Done)]
    assert told == [Died(-9, 1)]
    assert not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in ranks)
    assert isinstance(last_word(two, "train", training(prepared, tmp_path / "next", "lora", 2, stop=64).as_dict()), Done)


def test_what_fails_on_all_ranks_is_told_once(two: LocalExecutor, tmp_path: Path) -> None:
    failed = last_word(two, "train", training(str(tmp_path / "nothing"), tmp_path / "out", "lora", 2).as_dict())
    assert isinstance(failed, Failed) and failed.reason.startswith("FileNotFoundError")


def test_a_group_that_is_killed_leaves_no_process(two: LocalExecutor) -> None:
    (slot,) = two.slots
    while slot not in two.free():
        list(two.poll(1.0))
    worker = two._workers.get(slot) or two._spares.get(slot)
    if worker is None:
        worker = two._spares[slot] = two._new(slot)
        while slot not in two.free():
            list(two.poll(1.0))
    ranks = psutil.Process(worker.process.pid).children(recursive=True)
    assert len(ranks) == 3, "the launcher and two ranks"
    worker.process.kill()  # by whom it may be
    _, left = psutil.wait_procs(ranks, timeout=20)
    assert not [process for process in left if process.status() != psutil.STATUS_ZOMBIE]
    two.kill(slot)


def ranks_of(executor: LocalExecutor) -> list[psutil.Process]:
    """The processes of the group that runs a job, by rank."""
    (worker,) = executor._workers.values()
    found = psutil.Process(worker.process.pid).children(recursive=True)
    ranks = [process for process in found if "RANK" in process.environ()]
    return sorted(ranks, key=lambda process: int(process.environ()["RANK"]))
