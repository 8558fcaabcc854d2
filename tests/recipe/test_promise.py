"""What a recipe promises, in the metric's own units, and what breaks it."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from peftcost.errors import GateError
from peftcost.recipe.earlier import in_scale
from peftcost.recipe.gate import (
    COST_SLACK_SECONDS,
    Gate,
    Interval,
    asked_bars,
    broken_promises,
    gate_of,
    held_to,
    other_classes,
    promised_bars,
    promised_interval,
)
from peftcost.recipe.recipe import Recipe, recipe_of
from peftcost.recommend.schema import Result
from peftcost.task.splits import TaskData, load_task_data
from peftcost.task.task import Rows, Task, load_task
from peftcost.tasks.metrics import negative_rmse
from peftcost.tasks.targets import Classes, Values

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
    bars = promised_bars(promised_interval(recipe, 4000, new_data, LIMITS)) + asked_bars(asked.get("min_quality"))
    return broken_promises(recipe, measured, device, bars, new_data)


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


def test_fewer_dev_rows_promise_less() -> None:
    recipe = recipe_from(raw_result())
    many, few = (promised_interval(recipe, rows, True, LIMITS) for rows in (4000, 100))
    assert many is not None and few is not None and few[0] < many[0]


@cache
def tweets(dev: int) -> TaskData:
    return load_task_data(load_task("builtin:tweets").model_copy(update={"rows": Rows(train=60, dev=dev, test=20)}), 0)


def new_rows(
    promise: Interval | None, rows: int, min_quality: float | None = None, promise_counts: bool = True
) -> Gate | None:
    """What so many new tweets are held to, where 800 rows gave the promise for .75."""
    recipe = recipe_from(raw_result())
    changes = {"quality": 0.75, "dev_rows": 800, "new_data_interval": promise}
    recipe = recipe.model_copy(update={"expected": recipe.expected.model_copy(update=changes)})
    return held_to(recipe, tweets(rows), True, promise_counts, asked_bars(min_quality)).gate


@pytest.mark.parametrize(("promise", "rows"), [(None, 1), (None, 2), ((0.7, 0.8), 2), ((0.7, 0.8), 8)])
def test_few_rows_are_no_gate_for_a_promise_and_without_one(promise: Interval | None, rows: int) -> None:
    with pytest.raises(GateError, match=f"dev split of {rows} row.*simplest baseline.*Nothing was trained"):
        new_rows(promise, rows)


def test_what_is_asked_for_needs_rows_that_can_tell_it_from_chance() -> None:
    """A model that is right in one case of two passes .9 on two rows in one case of four."""
    for promise_counts in (True, False):
        with pytest.raises(GateError, match="2 rows is too small for a gate: it sees no drop below 0.58.*0.9 of min_quality"):
            new_rows(None, 2, 0.9, promise_counts)
    found = new_rows(None, 100, 0.9)
    assert found is not None and found.bar.least == 0.9
    assert new_rows(None, 2, promise_counts=False) is None


def test_a_bar_that_the_simplest_baseline_takes_is_no_gate() -> None:
    floor = gate_of(asked_bars(0.9), tweets(400)).floor
    assert 0.3 < floor < 0.6
    for below in (0.2, floor):
        with pytest.raises(GateError, match="There is no gate"):
            new_rows(None, 400, below)
    assert new_rows((0.7, 0.8), 400, 0.2) is not None, "the promise is one"


def test_how_small_a_drop_is_seen_is_told() -> None:
    found = new_rows((0.7, 0.8), 400)
    assert found is not None
    low, luck = 0.75 - 0.05 * 2**0.5, 1.645 * 0.5 / 20
    assert found.drop_from(0.75) == pytest.approx(0.75 - low + luck)
    assert "on 400 dev rows" in found.told(0.75) and "sees a drop of 0.112 or more" in found.told(0.75)


def test_a_gate_for_a_metric_without_a_lower_limit_is_as_wide_as_the_baseline_errs(tmp_path: Path) -> None:
    (tmp_path / "prices.csv").write_text("text,value\n" + "".join(f"item {i},{i % 7}.5\n" for i in range(400)))
    data = load_task_data(Task(model="m", data=str(tmp_path / "prices.csv"), metric="negative_rmse"), 0)
    good, poor = (gate_of(asked_bars(least), data) for least in (-0.5, -1.01))
    assert good.floor == pytest.approx(-1.0, abs=0.1)
    assert good.luck is not None and 0.01 < good.luck < 0.2
    assert good.weakness == [] and poor.weakness


def test_an_earlier_model_may_be_missed_by_the_margin() -> None:
    (bar,) = asked_bars(None, (Path("old"), 0.8), 0.01)
    assert bar.least == pytest.approx(0.79)
    assert bar.text == "0.790 of --gate-against (old reaches 0.800, the margin is 0.01)"


def test_what_was_learnt_in_another_scale_is_compared_in_one() -> None:
    """Both predict 12 where 10 is right."""
    own, wanted = Values(10.0, 2.0, 0.0, 20.0), Values(0.0, 4.0, 0.0, 20.0)
    rows = in_scale(np.array([[1.0, 0.0]]), own, wanted)
    assert rows.tolist() == [[3.0, 2.5]]
    assert negative_rmse(rows, np.ones((1, 1)))[0] == pytest.approx(-2 / 4)


def test_other_classes_are_named_beyond_the_tenth() -> None:
    names = [f"intent {i:02}" for i in range(12)]
    recipe = recipe_from(raw_result()).model_copy(update={"classes": names})
    assert other_classes(recipe, Classes(tuple(reversed(names)))) == []
    (sentence,) = other_classes(recipe, Classes((*names[:11], "intent 99")))
    assert "it has 'intent 99' and lacks 'intent 11'" in sentence
    (sentence,) = other_classes(recipe, Classes(tuple(names[1:])))
    assert "it lacks 'intent 00'. Correct" in sentence


def test_the_recipe_names_its_classes() -> None:
    raw = raw_result()
    raw["task"]["classes"] = ["bad", "good"]
    assert recipe_from(raw).classes == ["bad", "good"]
