"""What is said of contenders: against the reference, and each against each."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from bench.made import TASKS, comparison

from peftcost.bench.compare import facts_of
from peftcost.bench.page import page_of
from peftcost.bench.write import read_bench, write_bench
from peftcost.errors import UserError


def test_time_memory_and_quality_are_told_against_full_fine_tuning() -> None:
    facts = facts_of(comparison())
    standings = {s["contender"]: s for s in facts["standings"]}
    assert facts["reference"] == "full"
    assert standings["frozen"]["time_ratio"] == pytest.approx(0.1)
    assert standings["lora"]["memory_ratio"] == pytest.approx(0.6)
    assert standings["frozen"]["quality_difference"] == pytest.approx(-0.1)
    assert (standings["frozen"]["losses"], standings["frozen"]["wins"]) == (len(TASKS), 0)
    assert standings["lora"]["ties"] == len(TASKS)


def test_what_failed_somewhere_stands_in_no_rank_but_is_told() -> None:
    made = comparison()
    cells = {key: cell for key, cell in made.cells.items() if key != (TASKS[0], "bitfit")}
    facts = facts_of(replace(made, cells=cells))
    assert set(facts["ranks"]["means"]) == {"full", "lora", "frozen"}
    bitfit = next(s for s in facts["standings"] if s["contender"] == "bitfit")
    assert bitfit["mean_rank"] is None and bitfit["tasks"] == len(TASKS) - 1 and facts["standings"][-1] == bitfit
    page = page_of(facts)
    assert page.unmeasured == [("ia3", TASKS[0], 0, "out of memory <b>")]
    assert "not measured in every task" in page.ranked


def test_without_full_fine_tuning_the_best_is_the_reference() -> None:
    made = comparison()
    cells = {key: cell for key, cell in made.cells.items() if key[1] != "full"}
    assert facts_of(replace(made, cells=cells))["reference"] == "lora"


def test_wins_count_what_is_beyond_chance() -> None:
    wins = facts_of(comparison())["wins"]
    place = {key: i for i, key in enumerate(wins["order"])}
    assert wins["table"][place["lora"]][place["frozen"]] == 5 and wins["table"][place["frozen"]][place["lora"]] == 0
    assert wins["table"][place["lora"]][place["full"]] == wins["table"][place["full"]][place["lora"]] == 0
    page = page_of(facts_of(comparison()))
    assert page.matrix[place["lora"]][place["frozen"]] == (5, 0, 0) and page.matrix[0][0] is None


def test_the_cheapest_that_keeps_up_is_named() -> None:
    first, second, third = page_of(facts_of(comparison())).advice
    assert first.startswith("Best over the 5 tasks: lora")
    assert "nothing cheaper keeps up" in second
    assert "Friedman" in third
    cheap = page_of(facts_of(comparison(error=0.2))).advice[1]
    assert "cheapest that is not shown to be worse than it is frozen" in cheap and "10 % of the time" in cheap


def test_nothing_measured_is_said_so(tmp_path: Path) -> None:
    empty = replace(comparison(), cells={})
    assert page_of(facts_of(empty)).advice == ["Nothing was measured; the reasons are below."]
    write_bench(tmp_path, empty)


def test_json_and_parquet_hold_every_training(tmp_path: Path) -> None:
    made = comparison()
    write_bench(tmp_path, made)
    facts = read_bench(tmp_path)
    assert len(facts["trainings"]) == len(made.trainings) and json.dumps(facts, allow_nan=False)
    table = pq.read_table(tmp_path / "bench.parquet").to_pylist()
    assert len(table) == len(made.trainings)
    assert table[0]["quality"] == facts["trainings"][0]["quality"] and table[0]["task_metric"] == "accuracy"
    (tmp_path / "bench.json").write_text(json.dumps(facts | {"schema_version": 7}))
    with pytest.raises(UserError, match="another version"):
        read_bench(tmp_path)
