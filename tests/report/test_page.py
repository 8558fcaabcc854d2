"""What the page works out of a result: one line a method, steps of the front, importance, classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from report.folders import CLASSES, with_run_files

from peftcost.methods import methods
from peftcost.report.by_method import common_length, method_rows
from peftcost.report.importance import ALL, importances
from peftcost.report.marks import MARKS, OTHERS, mark_of, matplotlib_marker, outline
from peftcost.report.run_files import by_class, class_rows, loss_curves
from peftcost.report.steps import factor, steps_of
from peftcost.tasks.class_metrics import confusion

Result = dict[str, Any]


def test_each_method_has_a_line_the_unmeasured_last_with_their_reason(result: Result) -> None:
    rows = method_rows(result)
    assert len(rows) == len({entry["method"] for entry in result["setups"]})
    measured = [row for row in rows if row.best]
    assert rows[: len(measured)] == measured
    told = [row.best.quality.known for row in measured if row.best]
    assert told == sorted(told, reverse=True)
    assert all(row.reason for row in rows[len(measured) :])


def test_the_line_of_a_method_holds_its_best_setup_but_the_recommended_one_where_it_is_recommended(result: Result) -> None:
    rows = {row.method: row for row in method_rows(result)}
    lora = max((e for e in result["setups"] if e["method"] == "lora" and e["quality"]), key=lambda e: e["quality"])
    assert rows["lora"].best and rows["lora"].best.id == lora["id"]
    result["recommendation"]["id"] = "lora-d0827c6534"
    row = next(row for row in method_rows(result) if row.method == "lora")
    assert row.best and row.best.id == "lora-d0827c6534" and row.recommended


def test_methods_are_compared_at_the_length_that_most_of_them_share(result: Result) -> None:
    assert common_length(result["setups"]) == 4000
    row = next(row for row in method_rows(result) if row.method == "nf4-lora")
    assert row.common is None and row.best and row.best.examples == 2000


def test_each_step_up_tells_its_gain_and_its_price(result: Result) -> None:
    steps = steps_of(result)
    by_id = {entry["id"]: entry for entry in result["setups"]}
    costs = [by_id[step.id]["gpu_seconds"] for step in steps]
    qualities = [by_id[step.id]["quality"] for step in steps]
    assert costs == sorted(costs) and qualities == sorted(qualities)
    assert steps[0].gain == ""
    assert steps[1].gain == f"{qualities[1] - qualities[0]:+.3f}"
    assert [step.clear for step in steps[1:]] == [
        by_id[b.id]["quality_interval"][0] > by_id[a.id]["quality_interval"][1]
        for a, b in zip(steps, steps[1:], strict=False)
    ]


@pytest.mark.parametrize(
    ("value", "said"), [(100, "the same"), (130, "30 % more"), (60, "40 % less"), (210, "2.1 times"), (2000, "20 times")]
)
def test_ratios_are_told_as_people_say_them(value: float, said: str) -> None:
    assert factor(value, 100) == said


def test_the_choice_that_makes_the_difference_is_found(result: Result) -> None:
    entry = next(e for e in result["setups"] if e["method"] == "lora")
    result["setups"] = [
        entry
        | {"id": f"lora-{i}", "quality": 0.5 + 0.1 * (i % 2), "stop_examples": 1000 * (1 + i % 3)}
        | {"hyperparameters": entry["hyperparameters"] | {"learning_rate": 1e-4 if i % 2 else 1e-3}}
        for i in range(24)
    ]
    (found,) = importances(result)
    assert found.method == "lora" and found.shares[0][0] == "learning rate" and found.shares[0][1] > 0.9


def test_of_few_setups_nobody_says_what_mattered(result: Result) -> None:
    assert [found.method for found in importances(result)] == [ALL]
    result["setups"] = result["setups"][:5]
    assert importances(result) == []


def test_classes_are_counted_on_the_test_split(tmp_path: Path) -> None:
    found = by_class(tmp_path, with_run_files(tmp_path))
    assert found is not None and found.split == "test" and [row.name for row in found.rows] == CLASSES
    assert found.counts == [[3, 1, 0], [0, 1, 1], [0, 0, 2]]
    first = found.rows[0]
    assert (first.examples, first.precision.value, first.recall.value) == (4, 1.0, 0.75)


def test_of_many_classes_the_largest_are_shown() -> None:
    true = np.repeat(np.arange(30), np.arange(1, 31))
    counts = confusion(np.stack([true, true], axis=1), 30)
    found = class_rows(counts, [f"c{i}" for i in range(30)], "dev", "rows", len(true), is_confusion=True)
    assert found.left_out == 10 and [row.name for row in found.rows] == [f"c{i}" for i in range(10, 30)]


def test_a_task_without_classes_has_no_such_table(tmp_path: Path) -> None:
    result = with_run_files(tmp_path)
    result["task"]["task"] = "regression"
    assert by_class(tmp_path, result) is None


def test_curves_are_told_over_examples(tmp_path: Path) -> None:
    result = with_run_files(tmp_path)
    result["setups"] = [e for e in result["setups"] if e["id"] == result["recommendation"]["id"]]
    (curve,) = loss_curves(tmp_path, result)
    assert curve.method == "frozen" and curve.examples == [160, 320, 480, 640] and curve.losses[0] == pytest.approx(0.1)


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_every_method_has_its_own_mark_that_stands_out_by_day_and_by_night() -> None:
    assert set(methods()) <= set(MARKS)
    assert len({mark.shape for mark in MARKS.values()}) == len(MARKS)
    for mark in (*MARKS.values(), *OTHERS):
        assert contrast(mark.light, "#ffffff") >= 3 and contrast(mark.dark, "#12161a") >= 3
        assert outline(mark.shape).startswith("M") and matplotlib_marker(mark.shape)
    assert len({mark.light for mark in MARKS.values()}) == len({mark.dark for mark in MARKS.values()}) == len(MARKS)
    assert mark_of("somebody-elses") == mark_of("somebody-elses")
