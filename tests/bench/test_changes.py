"""What `peftcost diff` tells of two comparisons, and when it fails."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from bench.made import TASKS, comparison

from peftcost.bench.changes import bench_changes, bench_regression, told
from peftcost.bench.compare import facts_of
from peftcost.bench.write import write_bench
from peftcost.errors import UserError


def test_nothing_changed_against_itself() -> None:
    facts = facts_of(comparison())
    found = bench_changes(facts, facts)
    assert bench_regression(found, 0.0) is None and told(found) == ["20 of 20 qualities are within the noise."]


def test_a_loss_beyond_chance_and_margin_is_a_regression_and_a_gain_is_none() -> None:
    before, after = facts_of(comparison()), facts_of(comparison(change=-0.1))
    sentence = bench_regression(bench_changes(before, after), None)
    assert sentence is not None and "fell from 0.80" in sentence and "4 more fell" in sentence
    assert bench_regression(bench_changes(before, after), 0.2) is None
    assert bench_regression(bench_changes(after, before), None) is None


def test_of_many_comparisons_each_needs_more_to_be_significant() -> None:
    """Some 2.5 standard errors: beyond chance by itself, not as one of twenty."""
    few = bench_changes(facts_of(comparison(TASKS[:1])), facts_of(comparison(TASKS[:1], change=-0.051)))
    many = bench_changes(facts_of(comparison()), facts_of(comparison(change=-0.051)))
    assert bench_regression(few, None) is not None and bench_regression(many, None) is None


def test_what_is_measured_no_more_is_a_regression_and_tasks_have_to_be_shared() -> None:
    made = comparison()
    gone = facts_of(replace(made, cells={key: cell for key, cell in made.cells.items() if key[1] != "lora"}))
    assert "is not in the second" in str(bench_regression(bench_changes(facts_of(made), gone), None))
    with pytest.raises(UserError, match="no task in common"):
        bench_changes(facts_of(made), facts_of(comparison(("other",))))


def test_the_command_exits_with_3_on_a_regression(tmp_path: Path) -> None:
    write_bench(tmp_path / "a", comparison())
    write_bench(tmp_path / "b", comparison(change=-0.1))
    fell = subprocess.run([sys.executable, "-m", "peftcost", "diff", "a", "b"], cwd=tmp_path, capture_output=True, text=True)
    assert fell.returncode == 3 and "fell from 0.80" in fell.stderr and fell.stdout.count(" -> 0.7") == 5
