"""What a recipe promises, in the metric's own units, and what breaks it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from peftcost.recipe.gate import COST_SLACK_SECONDS, broken_promises, obstacles, promised_interval
from peftcost.recipe.recipe import Recipe, recipe_of
from peftcost.recommend.schema import Result
from peftcost.task.splits import load_task_data
from peftcost.task.task import Rows, load_task

FIXTURE = Path(__file__).parents[1] / "report" / "result_fixture.json"
EUROS, ERROR = 250.0, 4.0
LIMITS = (0.0, 1.0)


def raw_result() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(FIXTURE.read_text(encoding="utf-8"))
    return found


def recipe_from(raw: dict[str, Any]) -> Recipe:
    result = Result.model_validate(raw)
    assert result.recommendation is not None
    return recipe_of(result, result.recommendation, load_task("builtin:tweets"), 0, "run")


def in_euros(raw: dict[str, Any]) -> dict[str, Any]:
    """The same run, had it predicted prices: qualities are negative errors without a lower limit."""
    raw["task"] |= {"task": "regression", "metric": "negative_rmse"}
    for entry in raw["setups"]:
        for measurement in entry["measurements"]:
            measurement["quality"] = EUROS * (measurement["quality"] - 1)
            measurement["quality_error"] = ERROR
    raw["recommendation"]["quality"] = EUROS * (raw["recommendation"]["quality"] - 1)
    return raw


def test_a_promise_for_a_metric_in_euros_is_as_wide_as_its_readings_err() -> None:
    promised = recipe_from(in_euros(raw_result())).expected
    assert promised.prediction_interval is not None and promised.new_data_interval is not None
    for low, high in (promised.prediction_interval, promised.new_data_interval):
        assert low < promised.quality < high <= 0.0
    width = promised.new_data_interval[1] - promised.new_data_interval[0]
    assert ERROR < width < 8 * ERROR


def broken(recipe: Recipe, measured: dict[str, Any], device: str, new_data: bool = False, **asked: float) -> list[str]:
    """What is broken where 4,000 rows judge."""
    return broken_promises(recipe, measured, device, promised_interval(recipe, 4000, new_data, LIMITS), new_data, **asked)


def test_a_dearer_training_breaks_the_promise_on_the_same_devices_alone() -> None:
    recipe = recipe_from(raw_result())
    expected = recipe.expected
    most = 1.5 * expected.gpu_seconds + COST_SLACK_SECONDS
    kept = {"quality": expected.quality, "ranks": 1, "gpu_seconds": most - 1}
    assert broken(recipe, kept, expected.device) == []
    (sentence,) = broken(recipe, {**kept, "gpu_seconds": most + 1}, expected.device)
    assert "gpu-s, more than 1.5 times" in sentence
    on_two = {**kept, "gpu_seconds": most + 1, "ranks": 2}
    assert broken(recipe, on_two, expected.device) == []
    two = recipe.model_copy(update={"expected": expected.model_copy(update={"ranks": 2})})
    assert broken(two, on_two, expected.device) == []
    assert broken(two, {**on_two, "gpu_seconds": most + COST_SLACK_SECONDS + 1}, expected.device)


def test_worse_quality_breaks_it_by_the_interval_that_suits_the_data() -> None:
    recipe = recipe_from(raw_result())
    tight, wide = recipe.expected.prediction_interval, recipe.expected.new_data_interval
    assert tight is not None and wide is not None and wide[0] < tight[0]
    measured = {"quality": (tight[0] + wide[0]) / 2, "ranks": 1, "gpu_seconds": 0.0}
    assert broken(recipe, measured, "any")
    assert not broken(recipe, measured, "any", new_data=True)


@pytest.mark.parametrize("ranks", [1, 2])
def test_the_recipe_says_on_how_many_devices(ranks: int) -> None:
    raw = raw_result()
    for entry in raw["setups"]:
        for measurement in entry["measurements"]:
            measurement["ranks"] = ranks
    assert recipe_from(raw).expected.ranks == ranks


def test_two_seeds_promise_nothing_yet() -> None:
    raw = raw_result()
    advised = next(e for e in raw["setups"] if e["id"] == raw["recommendation"]["id"])
    confirmations = [m for m in advised["measurements"] if m["role"] == "confirm"]
    advised["measurements"] = [m for m in advised["measurements"] if m not in confirmations[2:]]
    recipe = recipe_from(raw)
    assert recipe.expected.prediction_interval is None
    measured = {"quality": 0.1, "ranks": 1, "gpu_seconds": 0.0}
    assert broken(recipe, measured, "any") == []
    (sentence,) = broken(recipe, measured, "any", min_quality=0.7)
    assert "below the 0.7 of --min-quality" in sentence


def test_fewer_dev_rows_promise_less_and_too_few_are_no_gate() -> None:
    recipe = recipe_from(raw_result())
    many, few = (promised_interval(recipe, rows, True, LIMITS) for rows in (4000, 100))
    assert many is not None and few is not None and few[0] < many[0]
    data = load_task_data(load_task("builtin:tweets").model_copy(update={"rows": Rows(train=60, dev=1, test=20)}), 0)
    assert "A dev split of 1 row is too small for a gate" in " ".join(obstacles(recipe, data))


def test_other_classes_are_named_before_anything_is_trained() -> None:
    recipe = recipe_from(raw_result()).model_copy(update={"targets": "Labels (2): bad, good"})
    data = load_task_data(load_task("builtin:tweets").model_copy(update={"rows": Rows(train=60, dev=400, test=20)}), 0)
    (sentence,) = obstacles(recipe, data)
    assert "other classes than the recipe (Labels (3): negative, neutral, positive; the recipe Labels (2)" in sentence
