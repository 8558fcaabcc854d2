"""The Python calls: typed results, data in memory, and a caller's process that stays as it was."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import warnings
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import pytest
import sklearn.linear_model  # noqa: F401
import torch
import transformers
from promising import promising

import peftcost
from peftcost.core.measurement import Measurement
from peftcost.data.builtin import builtin_table
from peftcost.errors import GateError, UserError
from peftcost.recommend.schema import Result


def process_facts() -> dict[str, Any]:
    """What a library must leave alone. Libraries set variables and filters when they are first imported, which is their own
    affair: scikit-learn, which a report of ten setups imports, is imported above."""
    return {
        "environment": dict(os.environ),
        "threads": torch.get_num_threads(),
        "matmul": torch.get_float32_matmul_precision(),
        "transformers": transformers.logging.get_verbosity(),
        "transformers bars": transformers.logging.is_progress_bar_enabled(),
        "optuna": optuna.logging.get_verbosity(),
        "warnings": list(warnings.filters),
        "signals": {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)},
        "handlers": list(logging.getLogger().handlers),
        "folder": Path.cwd(),
    }


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    rows = builtin_table("tweets").rows[::60]
    return pd.DataFrame([{"tweet": row["text"], "mood": row["sentiment"]} for row in rows])


@pytest.fixture(scope="module")
def run(tiny_bert: Path, frame: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> peftcost.Run:
    """A search on a data frame, in a process that likes to be left alone."""
    out = tmp_path_factory.mktemp("runs") / "run"
    optuna.logging.set_verbosity(logging.DEBUG)
    transformers.logging.enable_progress_bar()
    before = process_facts()
    found = peftcost.search(
        data=frame, label="mood", model=str(tiny_bert), budget="25gpu-s", methods=["frozen"], out=out, devices="cpu"
    )
    assert process_facts() == before
    return found


def test_plan_leaves_the_process_as_it_was(tiny_bert: Path, frame: pd.DataFrame) -> None:
    before = process_facts()
    plan = peftcost.plan(data=frame, label="mood", model=str(tiny_bert), device="t4", methods=["lora", "full"], max_length=32)
    assert process_facts() == before
    assert {setup.method for setup in plan.setups} == {"lora", "full"}
    assert plan.tokens <= 32
    with pytest.raises(UserError, match="max_length=0 leaves nothing"):
        peftcost.plan(model=str(tiny_bert), device="t4", methods=["lora"], max_length=0)


@pytest.mark.timed
def test_results_are_typed(run: peftcost.Run) -> None:
    result = run.result
    assert isinstance(result, Result)
    assert result.recommendation is not None
    assert {setup.id for setup in run.front} == set(result.front)
    assert all(isinstance(m, Measurement) for setup in run.front for m in setup.measurements)
    cheapest = run.recommend("cheapest", min_quality=0.0)
    assert cheapest.gpu_seconds == min(s.gpu_seconds for s in result.setups if s.gpu_seconds is not None)
    assert json.loads(result.model_dump_json()) == run.folder.read_result()


@pytest.mark.timed
def test_a_run_is_opened_by_its_path(run: peftcost.Run, tmp_path: Path) -> None:
    for opened in (peftcost.Run(str(run.folder.path)), peftcost.load_run(run.folder.path)):
        assert opened.finished and opened.result == run.result
    interrupted = tmp_path / "interrupted"
    interrupted.mkdir()
    lines = run.folder.journal_file.read_text().splitlines(keepends=True)
    (interrupted / "events.jsonl").write_text("".join(lines[: len(lines) // 2]))
    opened = peftcost.load_run(interrupted)
    assert not opened.finished
    assert "is not finished" in opened._repr_html_()
    with pytest.raises(UserError, match=r"finish the run with `peftcost\.resume\("):
        _ = opened.result
    with pytest.raises(UserError, match="not a run's folder"):
        peftcost.Run(tmp_path)


@pytest.mark.timed
def test_a_notebook_shows_the_recommendation_and_the_front(run: peftcost.Run) -> None:
    html = run._repr_html_()
    assert all(setup_id in html for setup_id in run.result.front)
    assert "recommended" in html and "<script" not in html


@pytest.mark.timed
def test_data_in_memory_stay_with_the_run(run: peftcost.Run, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(run.folder.path, moved)
    recipe = peftcost.load_recipe(moved / "recipe.yaml")
    assert recipe.task.data == str(moved / "data" / "train.parquet")
    assert run.result.task.data == "data/train.parquet"
    again = peftcost.load_task(moved / "task.yaml")
    assert again.data == recipe.task.data


@pytest.mark.timed
def test_a_recipe_trains_on_a_frame_and_predicts(run: peftcost.Run, frame: pd.DataFrame, tmp_path: Path) -> None:
    before = process_facts()
    recipe = promising(peftcost.load_recipe(run.folder.recipe_file), (0.0, 1.0))
    model = recipe.train(frame, out=tmp_path / "model", devices="cpu", gate=False)
    texts = ["I love this airline", "worst flight ever"]
    found = model.predict(texts, devices="cpu")
    assert process_facts() == before
    assert [set(row) for row in found] == [
        {"label", *(f"probability_{name}" for name in ("negative", "neutral", "positive"))}
    ] * 2
    opened = peftcost.load_model(tmp_path / "model")
    assert opened.predict(pd.DataFrame({"tweet": texts}), devices="cpu") == found
    assert opened.report["quality"] == model.report["quality"]
    with pytest.raises(GateError, match="below the 0.980"):
        promising(recipe, (0.98, 0.99)).train(out=tmp_path / "worse", devices="cpu")


def test_what_is_missing_is_told_in_pythons_terms(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"needs budget=, for example 4gpu-h"):
        peftcost.search("builtin:tweets")
