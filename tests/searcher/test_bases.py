"""Several bases in one search."""

from __future__ import annotations

from pathlib import Path

import pytest
from promising import promising

import peftcost
from peftcost.errors import UserError
from peftcost.recipe.train import train_recipe
from peftcost.task.task import Rows, load_task

pytestmark = pytest.mark.timed


@pytest.fixture(scope="module")
def run(tiny_bert: Path, tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> peftcost.Run:
    rows = Rows(train=400, dev=120, test=100)
    task = load_task("builtin:tweets").model_copy(update={"model": [str(tiny_bert), str(tiny_llama)], "rows": rows})
    out = tmp_path_factory.mktemp("runs") / "bases"
    return peftcost.search(task, "80gpu-s", methods=["frozen", "lora"], out=out, devices="cpu:2")


def test_each_base_gets_a_fair_start(run: peftcost.Run, tiny_bert: Path, tiny_llama: Path) -> None:
    result = run.result
    assert result.task.model == [str(tiny_bert), str(tiny_llama)]
    tried = {(e.method, e.hyperparameters["model"]) for e in result.setups if e.status == "measured"}
    assert tried == {(method, str(base)) for method in ("frozen", "lora") for base in (tiny_bert, tiny_llama)}
    assert len({e.id for e in result.setups}) == len(result.setups)


def test_the_recipe_is_on_the_recommended_base_and_trains(run: peftcost.Run, tmp_path: Path) -> None:
    recipe = peftcost.load_recipe(run.folder.recipe_file)
    entry = run.result.setup(run.result.recommendation.id)
    assert recipe.task.model == entry.hyperparameters["model"]
    assert "model" not in recipe.setup.hyperparameters
    assert "," not in recipe.fingerprints["model"]
    trained = train_recipe(promising(recipe, (0.0, 1.0)), tmp_path / "model")
    assert (trained.folder / "training.json").exists()


def test_the_reports_name_both(run: peftcost.Run, tiny_bert: Path, tiny_llama: Path) -> None:
    text = (run.folder.path / "report.md").read_text()
    assert f"Fine-tuning {tiny_bert} or {tiny_llama}" in text


def test_commands_for_one_base_say_so(tiny_bert: Path, tiny_llama: Path) -> None:
    from peftcost.planning import plan

    task = load_task("builtin:tweets").model_copy(update={"model": [str(tiny_bert), str(tiny_llama)]})
    with pytest.raises(UserError, match="names 2 models"):
        plan(task)
