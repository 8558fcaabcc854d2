"""A metric of the user's own: called apart, hashed, and told of when it fails."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from peftcost.errors import UserError
from peftcost.task.splits import TaskData, load_task_data
from peftcost.task.task import Task, load_task
from peftcost.tasks.named_metric import metric_of
from peftcost.tasks.one_class import scored

ROWS = "text,label\n" + "".join(f"a text {i},{['ham', 'spam'][i % 2]}\n" for i in range(60))
SCORE = """
import os
print("what it prints disturbs nobody")

def score(predicted, true):
    return sum(p == t == "spam" for p, t in zip(predicted, true)) / max(1, len(true))
"""


def load(folder: Path, metric: str, code: str = SCORE) -> TaskData:
    (folder / "rows.csv").write_text(ROWS)
    (folder / "mine.py").write_text(code)
    (folder / "task.yaml").write_text(f"model: builtin:minilm\ndata: rows.csv\nmetric: {metric}\n")
    return load_task_data(load_task(folder / "task.yaml"), 0)


def test_a_margin_is_of_the_metrics_range(tmp_path: Path) -> None:
    assert load(tmp_path, "{file: mine.py, limits: [0, 100]}\nmargin: 2.5").margin == 2.5
    with pytest.raises(UserError, match="margin 100 takes in all values of score, from 0 to 100; give a smaller one, as 1"):
        load(tmp_path, "{file: mine.py, limits: [0, 100]}\nmargin: 100")
    with pytest.raises(UserError, match="margin 1 takes in all values of accuracy"):
        load(tmp_path, "accuracy\nmargin: 1")


def test_it_is_called_with_labels_in_each_resample(tmp_path: Path) -> None:
    data = load(tmp_path, "{file: mine.py, function: score, direction: max, limits: [0, 1]}")
    rows = scored(np.array([1, 1, 0, 1]), np.array([1, 0, 0, 1]), np.eye(2)[[1, 1, 0, 1]])
    weights = np.array([[1, 1, 1, 1], [2, 0, 0, 2], [0, 4, 0, 0]])
    assert data.metric.compute(rows, weights).tolist() == [0.5, 1.0, 0.0]
    assert (data.metric.name, data.metric.limits) == ("score", (0.0, 1.0))
    again = metric_of(data.task_type, data.metric.name, data.metric.options)
    assert again.compute(rows, weights[:1]).tolist() == [0.5]


def test_more_resamples_than_calls_repeat_values(tmp_path: Path) -> None:
    data = load(tmp_path, "{file: mine.py}")
    rows = scored(np.array([1, 0, 1]), np.array([1, 0, 0]), np.eye(2)[[1, 0, 1]])
    weights = np.random.default_rng(0).multinomial(3, [1 / 3] * 3, 450)
    values = data.metric.compute(rows, weights)
    assert values.shape == (450,)
    assert values[200:400].tolist() == values[:200].tolist()
    np.testing.assert_allclose(values[:200], weights[:200, 0] / 3)


def test_lower_is_better_counts_as_its_negative(tmp_path: Path) -> None:
    data = load(tmp_path, "{file: mine.py, direction: min, limits: [0, 4]}")
    rows = scored(np.array([1]), np.array([1]), np.eye(2)[[1]])
    assert data.metric.compute(rows, np.ones((1, 1))).tolist() == [-1.0]
    assert (data.metric.name, data.metric.limits) == ("negative_score", (-4.0, 0.0))


def test_another_file_has_another_fingerprint(tmp_path: Path) -> None:
    before = load(tmp_path, "{file: mine.py}").fingerprints
    after = load(tmp_path, "{file: mine.py}", SCORE + "# changed\n").fingerprints
    assert before["metric"] != after["metric"]
    assert before["data"] == after["data"]


@pytest.mark.parametrize(
    ("metric", "code", "says"),
    [
        ("{file: other.py}", SCORE, r"task\.yaml, metric: the metric's file .*other\.py cannot be read"),
        ("{file: mine.py, function: scores}", SCORE, "has no function 'scores'"),
        ("{file: mine.py}", "import nowhere_to_be_found", "cannot be imported .*nowhere_to_be_found.*line 1"),
        ("{file: mine.py, direction: up}", SCORE, "direction is 'up'"),
        ("{file: mine.py, limits: 1}", SCORE, "limits are 1"),
        ("{file: mine.py, weight: 1}", SCORE, "takes file, function, direction, limits, but got 'weight'"),
        ("{function: score}", SCORE, "give the `name` of a metric, or the `file`"),
        ("{name: recall_at_precision, precision: 2}", SCORE, r"task\.yaml, metric: the metric's precision is 2"),
        ("{name: expected_cost, costs: {nix: {ham: 5}}}", SCORE, r"task\.yaml, metric: the metric's class 'nix' is none"),
        ("{name: acuracy}", SCORE, "no metric 'acuracy'. Did you mean 'accuracy'"),
    ],
)
def test_what_is_wrong_with_it_is_told_before_anything_is_spent(tmp_path: Path, metric: str, code: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        load(tmp_path, metric, code)


def test_what_is_wrong_with_one_in_memory_names_no_file(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(ROWS)
    metric = {"name": "recall_at_precision", "precision": 80}
    task = Task(model="builtin:minilm", data=str(tmp_path / "rows.csv"), metric=metric)
    with pytest.raises(UserError, match=r"^metric: the metric's precision is 80"):
        load_task_data(task, 0)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("return 1 / 0", r"raised ZeroDivisionError: division by zero \(line 2\)"),
        ("return float('nan')", "gave nan for 1 rows"),
        ("return 'good'", "raised ValueError"),
        ("return 7", r"mine.py: score gave 7, outside of its limits \[0, 1\]; correct one of them"),
        ("raise KeyError(chr(10).join('ab'))", r"raised KeyError: 'a\\nb' \(line 2\)"),
        ("raise ValueError(chr(10).join('ab'))", r"raised ValueError: a b \(line 2\)"),
        ("import os; os._exit(3)", "ended its process in 1 calls for 1 rows"),
    ],
)
def test_what_goes_wrong_in_a_call_is_told_with_its_line(tmp_path: Path, body: str, says: str) -> None:
    data = load(tmp_path, "{file: mine.py, limits: [0, 1]}", f"def score(predicted, true):\n    {body}\n")
    rows = scored(np.array([1]), np.array([1]), np.eye(2)[[1]])
    with pytest.raises(UserError, match=says):
        data.metric.compute(rows, np.ones((1, 1)))


def test_a_file_that_has_gone_since_is_named(tmp_path: Path) -> None:
    data = load(tmp_path, "{file: mine.py}")
    (tmp_path / "mine.py").unlink()
    rows = scored(np.array([1]), np.array([1]), np.eye(2)[[1]])
    with pytest.raises(UserError, match="mine.py cannot be read .No such file or directory.; put it back there"):
        data.metric.compute(rows, np.ones((1, 1)))
