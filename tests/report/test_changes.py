"""What `peftcost diff` tells of two runs, and when it fails."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from peftcost.errors import UserError
from peftcost.report.changes import changes, regression, told

Result = dict[str, Any]


def advised(result: Result) -> Result:
    return next(e for e in result["setups"] if e["id"] == result["recommendation"]["id"])


def worse(result: Result, by: float) -> Result:
    found = copy.deepcopy(result)
    entry = advised(found)
    entry["quality"] -= by
    entry["quality_interval"] = [end - by for end in entry["quality_interval"]]
    return found


def test_a_run_has_not_changed_against_itself(result: Result) -> None:
    found = changes(result, result)
    assert found["asked"] == {} and found["recommended"]["change"] == 0
    assert not any(method["significant"] for method in found["methods"].values())
    assert regression(found, 0.0) is None


def test_a_significant_loss_beyond_the_margin_is_a_regression(result: Result) -> None:
    sentence = regression(changes(result, worse(result, 0.1)), 0.015)
    assert sentence is not None and "fell from 0.738 to 0.638" in sentence


@pytest.mark.parametrize(("by", "margin"), [(0.1, 0.2), (0.01, 0.0), (-0.1, 0.0)])
def test_within_the_margin_or_the_noise_or_better_is_none(result: Result, by: float, margin: float) -> None:
    assert regression(changes(result, worse(result, by)), margin) is None


def test_the_interval_of_the_change_is_that_of_two_independent_runs(result: Result) -> None:
    low, high = advised(result)["quality_interval"]
    found = changes(result, worse(result, 0.1))["recommended"]
    assert found["interval"][1] - found["interval"][0] == pytest.approx(2**0.5 * (high - low), rel=1e-6)


def test_it_tells_what_of_the_question_differs_and_methods_of_one_run_alone(result: Result) -> None:
    other = copy.deepcopy(result)
    other["task"]["model"] = "builtin:other"
    other["setups"] = [e for e in other["setups"] if e["method"] != "adalora"]
    lines = told(changes(result, other))
    assert lines[0] == "model: builtin:minilm -> builtin:other"
    assert any(line.startswith("best adalora: only in the first run") for line in lines)


def test_different_metrics_cannot_be_compared(result: Result) -> None:
    other = copy.deepcopy(result)
    other["task"]["metric"] = "accuracy"
    with pytest.raises(UserError, match="macro_f1, the second in accuracy"):
        changes(result, other)


def test_the_command_exits_with_3_on_a_regression(result: Result, tmp_path: Path) -> None:
    for name, found in (("a", result), ("b", worse(result, 0.1))):
        (tmp_path / name).mkdir()
        (tmp_path / name / "events.jsonl").touch()
        (tmp_path / name / "result.json").write_text(json.dumps(found), encoding="utf-8")
    command = [sys.executable, "-m", "peftcost", "diff"]
    fell = subprocess.run([*command, "a", "b"], cwd=tmp_path, capture_output=True, text=True)
    assert fell.returncode == 3 and "fell from 0.738 to 0.638" in fell.stderr, fell.stderr
    rose = subprocess.run([*command, "b", "a", "--json"], cwd=tmp_path, capture_output=True, text=True)
    assert rose.returncode == 0 and json.loads(rose.stdout)["recommended"]["change"] == pytest.approx(0.1)
