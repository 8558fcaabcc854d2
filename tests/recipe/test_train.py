"""Production: a recipe trains again, keeps its promise or fails, and leaves what plain libraries load."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from promising import promising
from pydantic import ValidationError
from safetensors.torch import load_file, save_file

from peftcost.core.setup import Setup
from peftcost.core.versions import versions
from peftcost.cost.device import cpu_name
from peftcost.engine.artifact import reload
from peftcost.engine.job import NullReporter, TrainJob, prepare_payload
from peftcost.engine.prepare import prepare
from peftcost.engine.train import train
from peftcost.errors import GateError, PeftcostError, UserError
from peftcost.methods import get_method
from peftcost.recipe.earlier import quality_of_earlier
from peftcost.recipe.predict import predict, write_rows
from peftcost.recipe.recipe import Expected, Recipe, SetupFields, load_recipe, recipe_yaml
from peftcost.recipe.train import check_reloaded, order_of, train_recipe
from peftcost.recipe.trained_on import trained_on
from peftcost.runner.prepare import on_base
from peftcost.task.splits import load_task_data
from peftcost.task.task import Rows, load_task
from peftcost.tasks.targets import Classes

SEED = 0

PLAIN = """
import json, sys, torch
from peft import PeftModel
from transformers import AutoModelForSequenceClassification, AutoTokenizer

folder, text = sys.argv[1:]
config = json.load(open(folder + "/adapter_config.json"))
base = AutoModelForSequenceClassification.from_pretrained(config["base_model_name_or_path"], num_labels=3)
model = PeftModel.from_pretrained(base, folder).eval()
inputs = AutoTokenizer.from_pretrained(folder)(text, return_tensors="pt")
print(json.dumps(torch.softmax(model(**inputs).logits, -1)[0].tolist()))
"""


@pytest.fixture(scope="module")
def recipe(tiny_bert: Path) -> Recipe:
    """As a search writes it, of a base that has hardly been trained."""
    rows = Rows(train=300, dev=100, test=60)
    task = load_task("builtin:tweets").model_copy(update={"model": str(tiny_bert), "rows": rows})
    data = load_task_data(task, SEED)
    choices = dict(Setup.of("lora", get_method("lora").prior(), 600).hyperparameters)
    return Recipe(
        task=task,
        task_seed=SEED,
        setup=SetupFields(method="lora", hyperparameters=choices, stop_examples=600),
        epochs=2.0,
        seeds=[1, 2, 3],
        expected=Expected(quality=0.5, dev_rows=100, gpu_seconds=60.0, peak_bytes=10**8, device=cpu_name()),
        confirmed=True,
        targets=data.targets.describe(),
        classes=["negative", "neutral", "positive"],
        fingerprints=on_base(task, data, SEED).fingerprints,
        versions=versions(),
        run="run",
    )


@pytest.fixture(scope="module")
def model(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("models") / "model"
    done = train_recipe(promising(recipe, (0.0, 1.0)), out)
    assert 0.0 < done.report["quality"] < 1.0
    assert done.report["seed"] not in recipe.seeds
    assert done.learning_curve.evaluations[-1][2] == done.report["quality"]
    return out


def test_whatever_the_seed_it_trains_on_the_rows_that_the_search_trained_on(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else test rows of the search are among them, and the dev rows of the promise are not."""
    asked = []
    monkeypatch.setattr("peftcost.runner.prepare.prepare_payload", lambda *of: asked.append(of[1]) or prepare_payload(*of))
    done = train_recipe(promising(recipe, (0.0, 1.0)), tmp_path / "model", seed=recipe.task_seed + 77)
    assert asked == [recipe.task_seed] and done.report["seed"] == recipe.task_seed + 77


def test_a_recipe_survives_its_file(recipe: Recipe, tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(recipe_yaml(recipe))
    assert load_recipe(path) == recipe
    path.write_text(recipe_yaml(recipe).replace("seeds:", "sedes:"))
    with pytest.raises(UserError, match="sedes"):
        load_recipe(path)
    path.write_text(recipe_yaml(recipe.model_copy(update={"task_seed": -5})))
    with pytest.raises(UserError, match="task_seed: Input should be greater than or equal to 0"):
        load_recipe(path)
    path.write_text(recipe_yaml(promising(recipe, (0.9, 0.1))))
    with pytest.raises(UserError, match=r"interval: \[0\.9, 0\.1\] begins above its end; write the lower number first"):
        load_recipe(path)
    for change in ({"epochs": 1e300}, {"epochs": float("nan")}, {"setup": {"method": "lora", "stop_examples": 10**30}}):
        with pytest.raises(ValidationError, match="epochs|stop_examples"):
            Recipe.model_validate(recipe.model_dump() | change)


def test_plain_peft_and_transformers_load_the_folder(model: Path, tmp_path: Path) -> None:
    data, out = tmp_path / "new.csv", tmp_path / "out.csv"
    data.write_text("id,text,label\n7,I love this airline,mine\n")
    assert predict(model, data, out).rows == 1
    (row,) = csv.DictReader(out.open())
    code = [sys.executable, "-c", PLAIN, str(model), "I love this airline"]
    plain = json.loads(subprocess.run(code, capture_output=True, text=True, check=True).stdout)
    ours = [float(value) for key, value in row.items() if key.startswith("probability_")]
    assert ours == pytest.approx(plain, abs=1e-4)
    assert row["predicted_label"] in ("negative", "neutral", "positive")
    assert (row["id"], row["text"], row["label"]) == ("7", "I love this airline", "mine")


def test_predicting_tells_the_rows_that_it_leaves_out(model: Path, tmp_path: Path) -> None:
    data, out = tmp_path / "new.csv", tmp_path / "out.jsonl"
    data.write_text("id,text\n1,I love this airline\n2,\n3,I do not\n")
    with pytest.raises(UserError, match="line 3"):
        predict(model, data, out)
    done = predict(model, data, out, skip_bad_rows=True)
    assert [json.loads(line)["id"] for line in out.open()] == ["1", "3"]
    assert "line 3" in done.rejected[0]


def test_the_data_file_is_never_overwritten(model: Path, tmp_path: Path) -> None:
    data, link = tmp_path / "mine.csv", tmp_path / "link.csv"
    data.write_text("text,label\nI love this airline,mine\n")
    link.symlink_to(data)
    for out in (data, link):
        with pytest.raises(UserError, match="would be overwritten"):
            predict(model, data, out)
    assert "mine" in data.read_text()


def test_lists_are_read_back_from_what_is_written(tmp_path: Path) -> None:
    from peftcost.data.readers import read_table

    row = {"tokens": ["New York", '"', "is"], "predicted_tags": ["B-a place", "O", "O"], "p": 1e-9}
    write_rows(tmp_path / "out.csv", list(row), [row, row])
    again = read_table(tmp_path / "out.csv").rows[1]
    assert again == row | {"p": "1e-09"}


def test_a_promise_that_is_not_kept_is_told_and_the_model_kept(recipe: Recipe, tmp_path: Path) -> None:
    with pytest.raises(GateError, match="below the 0.980"):
        train_recipe(promising(recipe, (0.98, 0.99)), tmp_path / "model")
    assert (tmp_path / "model" / "adapter_config.json").exists()


def test_new_data_is_trained_on_and_measured_against_the_wider_interval(recipe: Recipe, tmp_path: Path) -> None:
    from peftcost.data.builtin import builtin_table

    table = builtin_table("tweets")
    data = tmp_path / "new.csv"
    with data.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "sentiment"])
        writer.writerows([row["text"], row["sentiment"]] for row in table.rows[::95])
        writer.writerow([table.rows[0]["text"], "neutral" if table.rows[0]["sentiment"] != "neutral" else "positive"])
    told: list[str] = []
    wanted = promising(recipe, (0.98, 0.99))
    done = train_recipe(wanted, tmp_path / "model", data=str(data), gate=False, on_progress=told.append)
    assert any(text.startswith("warning: ") and "label" in text for text in told), "one text has two labels"
    assert done.report["new_data"]
    low, high = done.report["promised_interval"]
    assert 0.0 <= low < 0.1 and high == 1.0, "of fewer dev rows than the recipe's farther apart, within the metric's limits"
    rows = done.report["rows"]
    assert sum(rows.values()) == len(table.rows[::95]) + 1, "no row is left out, and no test split is taken"
    assert rows["dev"] <= 0.2 * sum(rows.values()) + 1, "copies stay together"
    assert done.report["stop_examples"] == round(recipe.epochs * rows["train"])


def test_other_columns_and_classes_are_told_before_anything_is_trained(recipe: Recipe, tmp_path: Path) -> None:
    (tmp_path / "other.csv").write_text("tweet,sentiment\nI love it,positive\n")
    (tmp_path / "folder").mkdir()
    rows = "".join(f"it is {i},{('positive', 'negative', 'neutral')[i % 3]}\n" for i in range(300))
    (tmp_path / "new.csv").write_text(f"text,sentiment\n{rows.replace('neutral', 'mixed')}")
    (tmp_path / "folder" / "train.csv").write_text(f"text,sentiment\n{rows}")
    (tmp_path / "folder" / "dev.csv").write_text("text,sentiment\nso so,mixed\n")
    told = {
        "other.csv": "has no column 'text'",
        "folder": "the label 'mixed' of the dev split does not occur in train",
        "new.csv": "it has 'mixed' and lacks 'neutral'",
    }
    for name, text in told.items():
        with pytest.raises(GateError, match=f"{text}.* Nothing was trained"):
            train_recipe(recipe, tmp_path / "model", data=str(tmp_path / name))
    assert not (tmp_path / "model").exists()
    easy = promising(recipe, (0.0, 1.0))
    with pytest.raises(GateError, match="below the 0.99 of min_quality"):
        train_recipe(easy, tmp_path / "model", data=str(tmp_path / "new.csv"), allow_other_classes=True, min_quality=0.99)
    assert (tmp_path / "model" / "adapter_config.json").exists()


def test_what_is_asked_for_holds_without_the_promise(recipe: Recipe, tmp_path: Path) -> None:
    with pytest.raises(GateError, match="below the 0.99 of min_quality.* The model is in") as failed:
        train_recipe(promising(recipe, (0.98, 0.99)), tmp_path / "model", min_quality=0.99, gate=False)
    assert "promises" not in str(failed.value)


def test_a_model_is_held_against_an_earlier_one(
    recipe: Recipe, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, reached = order_of(recipe, None, None).data, json.loads((model / "training.json").read_text())["quality"]
    assert quality_of_earlier(model, data, "cpu") == pytest.approx(reached)
    assert "300 of the rows" in trained_on(model, data.task_type, data.train, "the rows")[0]
    assert trained_on(model, data.task_type, data.dev, "the rows") == []
    with pytest.raises(GateError, match=r"was trained for text-classification .* cannot be compared"):
        quality_of_earlier(model, replace(data, targets=Classes(("bad", "good"))), "cpu")
    monkeypatch.setattr("peftcost.recipe.train.quality_of_earlier", lambda *of: 0.99)
    with pytest.raises(GateError, match=r"below the 0.980 of gate_against= \(.*model reaches 0.990, the margin is 0.01\)"):
        train_recipe(recipe, tmp_path / "new", gate_against=model, gate=False)


def test_a_gate_of_so_many_rows(recipe: Recipe, tmp_path: Path) -> None:
    data, names = tmp_path / "new.csv", ("positive", "negative", "neutral")
    data.write_text("text,sentiment\n" + "".join(f"it is {i},{names[i % 3]}\n" for i in range(90)))
    done = train_recipe(promising(recipe, (0.0, 1.0)), tmp_path / "model", data=str(data), gate_rows=30, gate=False)
    assert done.report["rows"] == {"train": 60, "dev": 30}
    with pytest.raises(UserError, match="is for new data"):
        train_recipe(recipe, tmp_path / "other", gate_rows=30)


def test_where_it_cannot_write(recipe: Recipe, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="exists already"):
        train_recipe(recipe, tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file is not a folder that can be written to"):  # before anything is trained
        train_recipe(recipe, tmp_path / "file" / "model", data="nothing.csv")
    with pytest.raises(UserError, match="early_stopping=0 must be 1 or more"):
        train_recipe(recipe, tmp_path / "model", early_stopping=0)
    with pytest.raises(UserError, match="min_quality=90 cannot be reached"):
        train_recipe(recipe, tmp_path / "model", min_quality=90)
    with pytest.raises(UserError, match="no recipe"):
        load_recipe(tmp_path / "recipe.yaml")
    with pytest.raises(UserError, match=r"peftcost\.json"):
        predict(tmp_path, tmp_path / "x.csv", tmp_path / "y.csv")


def test_a_model_that_predicts_otherwise_once_reloaded_is_not_called_finished() -> None:
    check_reloaded(rows=400, differing=2)
    with pytest.raises(PeftcostError, match="5 of 100 dev rows otherwise once it is reloaded"):
        check_reloaded(rows=100, differing=5)


def test_a_head_that_is_not_saved_is_found(tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the head came back as another seed draws it."""
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    task = load_task("builtin:tweets").model_copy(update={"model": str(tiny_bert), "rows": Rows(train=64, dev=60, test=40)})
    prepared = str(prepare(prepare_payload(task, 0, str(tiny_bert), "tiny"), NullReporter())["prepared"])
    setup = Setup.of("lora", {**get_method("lora").prior(), "learning_rate": 1e-2}, 320)
    train(TrainJob(prepared, setup, 3, str(tmp_path)), NullReporter())
    written = {"prepared": prepared, "setup": setup.as_dict(), "seed": 3, "out": str(tmp_path)}
    assert reload(written, NullReporter()) == {"rows": 60, "differing": 0}
    file = tmp_path / "model" / "adapter_model.safetensors"
    save_file({name: -t if "classifier" in name else t for name, t in load_file(file).items()}, file)
    assert reload(written, NullReporter())["differing"] > 10
