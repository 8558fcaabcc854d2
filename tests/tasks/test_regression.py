"""Regression: a scale fitted on train, metrics as scipy has them, and one real training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from peftcost.core.setup import Setup
from peftcost.engine.job import NullReporter, TrainJob, prepare_payload
from peftcost.engine.prepare import prepare
from peftcost.engine.train import train
from peftcost.errors import OtherData, UserError
from peftcost.methods import get_method
from peftcost.task.task import Task
from peftcost.tasks import get_task_type
from peftcost.tasks.batch import Batch
from peftcost.tasks.metrics import negative_rmse, pearson, spearman
from peftcost.tasks.targets import Values

KIND = get_task_type("regression")


@given(st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9), st.integers(0, 3)), min_size=4, max_size=40))
@settings(max_examples=100, deadline=None)
def test_correlations_are_scipys_of_the_resample(cases: list[tuple[int, int, int]]) -> None:
    rows, weights = np.array([case[:2] for case in cases], dtype=np.float32), np.array([[case[2] for case in cases]])
    a, b = np.repeat(rows, weights[0], axis=0).T if weights.sum() else (np.zeros(0), np.zeros(0))
    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        assert pearson(rows, weights)[0] == pytest.approx(0, abs=1e-6)
        return
    assert pearson(rows, weights)[0] == pytest.approx(stats.pearsonr(a, b)[0], abs=1e-6)
    assert spearman(rows, weights)[0] == pytest.approx(stats.spearmanr(a, b)[0], abs=1e-6)
    assert negative_rmse(rows, weights)[0] == pytest.approx(-np.sqrt(np.mean((a - b) ** 2)), rel=1e-5)


def test_answers_are_in_the_users_unit() -> None:
    targets = KIND.targets([{"value": 10.0}, {"value": 30.0}])
    assert targets == Values(20.0, 10.0, 10.0, 30.0)
    batch = Batch({"input_ids": torch.zeros(2, 3)}, torch.tensor([-1.0, 1.0]), 3)
    described = KIND.describe(torch.tensor([[0.5], [-1.0]]), batch, targets)
    assert [row["value"] for row in described] == [25.0, 10.0]
    loss, n = KIND.loss(torch.tensor([[0.5], [-1.0]]), Batch(batch.inputs, torch.tensor([-1.0, torch.nan]), 3))
    assert (float(loss), int(n)) == (2.25, 1)


def test_numbers_whose_squares_overflow_are_told_with_their_row() -> None:
    rows = [{"value": value, "place": f"x.csv, line {i}"} for i, value in enumerate((1.0, 1e300, 3.0), start=2)]
    with pytest.raises(UserError, match=r"line 3: the number 1e\+300 is too large"):
        KIND.targets(rows)
    with pytest.raises(OtherData, match=r"line 3: the number 1e\+300 of the evaluated split is too far .*1 to 3"):
        KIND.check_targets(rows, Values(2.0, 1.0, 1.0, 3.0), "evaluated")


def test_what_cannot_be_learnt_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="one number alone"):
        KIND.targets([{"value": 1.0}, {"value": 1.0}])


@pytest.mark.parametrize("method", ["lora", "full"])
def test_it_trains(tiny_bert: Path, tmp_path: Path, method: str) -> None:
    words = ["one", "two", "three", "four", "five", "six", "seven", "eight"]
    rows = [f"{' '.join(words[: 1 + i % 8])} {words[i % 5]},{1 + i % 8}" for i in range(240)]
    (tmp_path / "lengths.csv").write_text("text,count\n" + "\n".join(rows) + "\n")
    columns = {"text": "text", "value": "count"}
    task = Task(model=str(tiny_bert), task="regression", data=str(tmp_path / "lengths.csv"), columns=columns)
    prepared = str(prepare(prepare_payload(task, 0, str(tiny_bert), "tiny"), NullReporter())["prepared"])
    (tmp_path / "out").mkdir()
    setup = Setup.of(method, {**get_method(method).prior(), "learning_rate": 1e-2}, 1600)
    measured = train(TrainJob(prepared, setup, 1, str(tmp_path / "out")), NullReporter())
    assert measured["quality"] > 0.6
    assert measured["peak_bytes"] > 0
