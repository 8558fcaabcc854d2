"""A trained folder judged on labelled rows, and pairs as Python callers give them."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, confusion_matrix, recall_score
from typer.testing import CliRunner

import peftcost
from peftcost.cli.app import app
from peftcost.core.setup import Setup
from peftcost.data.readers import read_table
from peftcost.engine.artifact import write_card
from peftcost.engine.job import NullReporter, TrainJob, prepare_payload
from peftcost.engine.prepare import prepare
from peftcost.engine.train import train
from peftcost.errors import UserError
from peftcost.methods import get_method
from peftcost.recipe.evaluate import class_figures, figures
from peftcost.recipe.predict import predict
from peftcost.recipe.trained_on import FILE, remember
from peftcost.task.inputs import labelled_of
from peftcost.task.task import Task
from peftcost.tasks import get_task_type
from peftcost.tasks.targets import Classes

WORDS = ["good", "bad", "fair", "film", "plot", "slow", "great", "dull", "Rome", "Paris"]


def text(i: int) -> str:
    return " ".join(np.random.default_rng(i).choice(WORDS, 5)) + f" {i}"


def trained(folder: Path, model: Path, fields: dict[str, Any]) -> Path:
    """A folder as `peftcost train` writes it, of a tiny base that has hardly been trained."""
    task = Task(model=str(model), data=str(folder / "train.csv"), **fields)
    prepared = str(prepare(prepare_payload(task, 0, str(model), "tiny"), NullReporter())["prepared"])
    setup = Setup.of("lora", {**get_method("lora").prior(), "learning_rate": 1e-2}, 64)
    train(TrainJob(prepared, setup, 0, str(folder), whole=True), NullReporter())
    card = {"prepared": prepared, "setup": setup.as_dict(), "columns": fields["columns"], "folder": str(folder / "model")}
    write_card(card, NullReporter())
    return folder / "model"


@pytest.fixture(scope="module")
def pairs(tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pairs")
    rows = "".join(f"{text(i)},{text(i + 500)},{['same', 'other'][i % 2]}\n" for i in range(120))
    (folder / "train.csv").write_text(f"premise,hypothesis,gold\n{rows}")
    columns = {"text": "premise", "text_pair": "hypothesis", "label": "gold"}
    return trained(folder, tiny_bert, {"task": "text-classification", "columns": columns, "metric": "accuracy"})


def test_figures_are_those_of_what_predict_writes(pairs: Path, tmp_path: Path) -> None:
    data, out = tmp_path / "new.csv", tmp_path / "out.csv"
    rows = "".join(f"{i},{text(i)},{text(i + 700)},{['same', 'other'][i % 3 == 0]}\n" for i in range(200, 290))
    data.write_text(f"id,premise,hypothesis,gold\n{rows}")
    predict(pairs, data, out)
    written = list(csv.DictReader(out.open()))
    true, predicted = [row["gold"] for row in written], [row["predicted_label"] for row in written]
    found = peftcost.load_model(pairs).evaluate(data)
    assert found.rows == 90
    assert found.quality == pytest.approx(accuracy_score(true, predicted))
    assert found.quality_interval[0] < found.quality < found.quality_interval[1]
    names = [row.name for row in found.classes]
    assert [row.recall for row in found.classes] == pytest.approx(recall_score(true, predicted, labels=names, average=None))
    matrix = [[found.confusion[a][b] for b in names] for a in names]
    assert matrix == confusion_matrix(true, predicted, labels=names).tolist()


def test_a_pair_is_an_input(pairs: Path) -> None:
    model = peftcost.load_model(pairs)
    assert [row["label"] in ("same", "other") for row in model.predict([("one text", "another"), ["a", "b"]])] == [True, True]
    with pytest.raises(UserError, match=r"data\[1\] is 'a text', but the model takes 2 texts"):
        model.predict([("one text", "another"), "a text"])


def test_the_command_tells_rows_left_out_and_fails_below_what_is_asked(pairs: Path, tmp_path: Path) -> None:
    data = tmp_path / "new.csv"
    rows = "".join(f"{text(i)},{text(i + 700)},{['same', 'other'][i % 2]}\n" for i in range(40))
    data.write_text(f"premise,hypothesis,gold\n{rows},b,same\na,b,unheard of\n")
    run = CliRunner()
    assert "line 42" in str(run.invoke(app, ["evaluate", str(pairs), "--data", str(data)]).exception)
    done = run.invoke(app, ["evaluate", str(pairs), "--data", str(data), "--skip-bad-rows"])
    assert done.exit_code == 0
    assert "40 rows, 2 bad ones left out" in done.output
    assert "true, across: predicted" in done.output
    both = tmp_path / "both.csv"  # each row with each label: half of them are wrong
    both.write_text(
        f"premise,hypothesis,gold\n{rows}" + rows.replace("same", "-").replace("other", "same").replace("-", "other")
    )
    failed = run.invoke(app, ["evaluate", str(pairs), "--data", str(both), "--min-quality", "1"])
    assert "accuracy is 0.500, below the 1 of" in str(failed.exception)
    assert "40 rows of these are copies of another row of it: intervals count them as one" in failed.stderr


@pytest.mark.parametrize(
    ("least", "says"), [("nan", "is no number"), ("90", "cannot be reached: accuracy lies between 0 and 1")]
)
def test_a_quality_that_is_none_is_refused(pairs: Path, tmp_path: Path, least: str, says: str) -> None:
    """NaN is below nothing: the gate would let everything pass."""
    done = CliRunner().invoke(app, ["evaluate", str(pairs), "--data", str(tmp_path / "new.csv"), "--min-quality", least])
    assert says in str(done.exception)


def test_a_promise_of_the_recipe_is_told(pairs: Path, tmp_path: Path) -> None:
    expected = {
        "quality": 0.99,
        "new_data_interval": [0.98, 1.0],
        "dev_rows": 90,
        "gpu_seconds": 1,
        "peak_bytes": 1,
        "device": "cpu",
    }
    (pairs / "training.json").write_text(json.dumps({"expected": expected}))
    data = tmp_path / "new.csv"
    data.write_text("text,text_pair,label\n" + "".join(f"{text(i)},b,{['same', 'other'][i % 2]}\n" for i in range(30)))
    found = peftcost.load_model(pairs).evaluate(str(data))
    for content, wrong in (('{"expected": {"quality": "high"}}', "expected: quality: "), ("[]", "it holds no fields")):
        (pairs / "training.json").write_text(content)
        with pytest.raises(UserError, match=rf"training\.json is damaged \({wrong}"):
            peftcost.load_model(pairs).evaluate(str(data))
    (pairs / "training.json").unlink()
    assert found.promised_interval is not None
    assert found.promised_interval[0] == pytest.approx(0.99 - 0.01 * 3**0.5)
    assert "that the recipe promises" in found.broken_promises[0]


CLASSES, NUMBERS, TAGS, LABELS = "text-classification", "regression", "token-classification", "multi-label"


@pytest.mark.parametrize(
    ("task", "metric", "rows", "says"),
    [
        (CLASSES, "roc_auc", [[1, 1, 0.2, 0.8], [0, 1, 0.7, 0.3]], "only one class in these rows"),
        (CLASSES, "pr_auc", [[1, 1, 0.2, 0.8], [0, 1, 0.7, 0.3]], "only one class in these rows"),
        (CLASSES, "mcc", [[1, 1], [0, 1]], "only one class in these rows"),
        (CLASSES, "f1", [[0, 0], [0, 0]], "no row of these is of its class or called so"),
        (NUMBERS, "pearson", [[0.1, 2.0], [0.3, 2.0]], "only one value in these rows"),
        (NUMBERS, "spearman", [[0.1, 2.0]], "only one value in these rows"),
        (TAGS, "entity_f1", [[0, 0, 0, 4, 4]], "no entity in these rows, and none predicted"),
        (LABELS, "macro_f1", [[-0.2, -0.3, 0, 0]], "no label in these rows, and none predicted"),
    ],
)
def test_what_rows_do_not_tell_is_no_number(task: str, metric: str, rows: list[list[float]], says: str) -> None:
    found = figures(get_task_type(task).metrics[metric], np.array(rows))
    assert found == {"quality": None, "quality_interval": None, "reason": f"undefined: {says}"}


def test_of_a_named_class_the_others_are_one() -> None:
    kind, classes = get_task_type(CLASSES), Classes(("a", "b", "c"))
    metric = kind.with_options(kind.metrics["roc_auc"], {"class": "c"}, classes)
    rows = np.array([[0, 0, 0.8, 0.1, 0.1], [1, 1, 0.1, 0.8, 0.1]])
    assert figures(kind.metrics["roc_auc"], rows)["quality"] == 1.0
    assert figures(metric, rows)["reason"] == "undefined: no row of these is of its class"


@pytest.mark.parametrize(("right", "wrong", "has_one"), [(1, 0, False), (5, 4, False), (40, 0, False), (38, 2, True)])
def test_an_interval_needs_rows_that_differ(right: int, wrong: int, has_one: bool) -> None:
    found = figures(get_task_type(CLASSES).metrics["accuracy"], np.array([[1, 1]] * right + [[0, 1]] * wrong))
    assert found["quality"] == pytest.approx(right / (right + wrong))
    assert (found["quality_interval"] is not None, found["reason"] is None) == (has_one, has_one)


def test_rows_that_the_model_was_trained_on_are_told(pairs: Path, tmp_path: Path) -> None:
    train, data = pairs.parent / "train.csv", tmp_path / "some.csv"
    columns = {"text": "premise", "text_pair": "hypothesis", "label": "gold"}
    remember(pairs, get_task_type(CLASSES), labelled_of(read_table(train), get_task_type(CLASSES), columns))
    lines = train.read_text().splitlines()
    data.write_text("\n".join([*lines[:13], "new,row,same", f"  {lines[13].replace(' ', '  ')}"]))
    found = peftcost.load_model(pairs).evaluate(data)
    assert found.notes == ["The model was trained on 13 of these 14 rows, so quality looks better than it is on new ones."]
    (pairs / FILE).write_bytes(b"")
    with pytest.raises(UserError, match=r"trained_on\.npy is damaged"):
        peftcost.load_model(pairs).evaluate(data)
    (pairs / FILE).unlink()
    assert peftcost.load_model(pairs).evaluate(data).notes == []


def test_an_undefined_metric_keeps_no_promise(tiny_bert: Path, tmp_path: Path) -> None:
    rows = "".join(f"{text(i)},{['low', 'high'][i % 2]}\n" for i in range(60))
    (tmp_path / "train.csv").write_text(f"text,label\n{rows}")
    fields = {"task": CLASSES, "columns": {"text": "text", "label": "label"}, "metric": "roc_auc"}
    model, data = trained(tmp_path, tiny_bert, fields), tmp_path / "one.csv"
    data.write_text("text,label\n" + "".join(f"{text(i)},low\n" for i in range(100, 120)))
    done = CliRunner().invoke(app, ["evaluate", str(model), "--data", str(data), "--min-quality", "0.6"])
    assert "roc_auc is undefined: only one class in these rows, so it cannot be held to" in str(done.exception)
    assert "roc_auc              undefined: only one class in these rows  <- what" in done.stdout


@pytest.mark.parametrize(("right", "predicted", "rows", "recall", "precision"), [(0, 0, 0, None, None), (3, 4, 6, 0.5, 0.75)])
def test_a_class_without_rows_has_no_recall(right: int, predicted: int, rows: int, recall: Any, precision: Any) -> None:
    found = class_figures("a", right, predicted, rows)
    assert (found.recall, found.precision) == (recall, precision)


def test_several_labels_are_judged_one_by_one(tiny_bert: Path, tmp_path: Path) -> None:
    rows = "".join(f"{text(i)},{int(i % 2 == 0)},{int(i % 3 == 0)}\n" for i in range(120))
    (tmp_path / "train.csv").write_text(f"text,rude,sad\n{rows}")
    fields = {"task": "multi-label", "columns": {"text": "text", "labels": ["rude", "sad"]}, "metric": "macro_f1"}
    model = peftcost.load_model(trained(tmp_path, tiny_bert, fields))
    found = model.evaluate(tmp_path / "train.csv")
    said = [row["labels"] for row in model.predict(tmp_path / "train.csv")]
    assert [row.rows for row in found.classes] == [60, 40]
    assert [row.predicted for row in found.classes] == [sum(name in labels for labels in said) for name in ("rude", "sad")]
    assert found.confusion == {}
