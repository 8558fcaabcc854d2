"""The learning curve: few points, evenly spaced, whose means are right whatever happens on the way."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from peftcost.core.setup import Setup
from peftcost.engine import worker
from peftcost.engine.curve import MOST_POINTS, LossCurve
from peftcost.engine.job import NullReporter, TrainJob
from peftcost.engine.messages import Message, Phase, Progress
from peftcost.engine.train import train
from peftcost.engine.worker import PipeReporter
from peftcost.methods import get_method


@pytest.mark.parametrize("total", [1, 7, 200, 201, 999, 12_345])
def test_few_points_evenly_spaced_tell_of_every_step(total: int) -> None:
    losses = np.random.default_rng(0).random(total)
    curve, points = LossCurve(total), []
    for start in range(0, total, 10):
        curve.add(min(total, start + 10), list(losses[start : start + 10]))
        points += curve.take()
    curve.end(total)
    points += curve.take()
    ends = [int(step) for step, _ in points]
    assert len(ends) <= MOST_POINTS and ends[-1] == total
    gaps = np.diff([0, *ends])
    assert (gaps[:-1] == gaps[0]).all() and gaps[-1] <= gaps[0]
    assert sum(mean * gap for (_, mean), gap in zip(points, gaps, strict=True)) == pytest.approx(losses.sum())


def test_a_training_that_goes_on_has_the_same_stretches() -> None:
    curve = LossCurve(1000)
    curve.add(503, [1.0, 2.0, 3.0])
    assert curve.take() == []
    curve.add(505, [4.0, 5.0])
    assert curve.take() == [[505, 3.0]]


class Listener(NullReporter):
    def __init__(self) -> None:
        self.told: list[Progress] = []

    def progress(self, progress: Progress) -> None:
        self.told.append(progress)


def losses_of(job: TrainJob) -> dict[int, float]:
    listener = Listener()
    train(job, listener)
    return {int(step): loss for told in listener.told for step, loss in told.losses}


def test_a_longer_stop_goes_on_with_the_curve_of_the_trunk(prepared: str, tmp_path: Path) -> None:
    def job(name: str, stop: int, parent: str | None = None) -> TrainJob:
        (tmp_path / name).mkdir()
        setup = Setup.of("lora", {**get_method("lora").prior(), "batch_size": 8}, stop)
        return TrainJob(prepared, setup, 3, str(tmp_path / name), parent=parent)

    straight = losses_of(job("straight", 240))
    short = losses_of(job("short", 120))
    long = losses_of(job("long", 240, str(tmp_path / "short" / "checkpoint")))
    assert sorted(straight) == list(range(1, 31)) and sorted(short) == list(range(1, 16))
    first = min(long)
    assert 1 < first < 15
    assert long == {step: loss for step, loss in straight.items() if step >= first}
    assert {s: short[s] for s in range(1, first)} == {s: straight[s] for s in range(1, first)}


def test_evaluations_on_the_way_are_told(prepared: str, tmp_path: Path) -> None:
    setup, listener = Setup.of("lora", {**get_method("lora").prior(), "batch_size": 8}, 200), Listener()
    train(TrainJob(prepared, setup, 3, str(tmp_path), early_stopping_patience=1), listener)
    evaluations = [found for told in listener.told for found in told.evaluations]
    assert evaluations and evaluations[0][0] == 3, "eight an epoch of 25 steps"
    assert all(loss > 0 and 0 <= quality <= 1 for _, loss, quality in evaluations)


class Pipe(PipeReporter):
    def __init__(self) -> None:
        super().__init__(None)  # type: ignore[arg-type]
        self.sent: list[Message] = []

    def _send(self, message: Message) -> None:
        self.sent.append(message)


def test_a_worker_tells_rarely_but_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "PROGRESS_SECONDS", 3600.0)
    pipe = Pipe()
    pipe._tell_progress()
    for step in (10, 20, 30):
        pipe.progress(Progress(step, 30, 1 / step, [[step, 0.5]]))
        pipe.progress(Progress(step, 60, 1 / step, [[step, 0.7]], member=1))
    assert pipe.sent == []
    pipe.phase("evaluate")
    *progress, phase = pipe.sent
    assert isinstance(phase, Phase)
    assert progress == [
        Progress(30, 30, 1 / 30, [[10, 0.5], [20, 0.5], [30, 0.5]]),
        Progress(30, 60, 1 / 30, [[10, 0.7], [20, 0.7], [30, 0.7]], member=1),
    ]
