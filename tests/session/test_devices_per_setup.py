"""A search whose setups hold two devices each, to its end."""

from __future__ import annotations

from pathlib import Path

import pytest

import peftcost
from peftcost.task.task import Rows, load_task

pytestmark = [pytest.mark.timed, pytest.mark.slow]


def test_a_search_of_pairs_of_devices_opens_the_test_split(tiny_bert: Path, tmp_path: Path) -> None:
    rows = Rows(train=400, dev=120, test=100)
    task = load_task("builtin:tweets").model_copy(update={"model": str(tiny_bert), "rows": rows})
    methods = ["frozen", "lora"]
    run = peftcost.search(
        task, "200gpu-s", methods=methods, seed=1, out=tmp_path / "run", devices="cpu:2", devices_per_setup=2
    )
    result = run.result
    assert result.budget.spent_gpu_seconds <= result.budget.limit_gpu_seconds
    assert sum(result.ledger.values()) == pytest.approx(result.budget.spent_gpu_seconds)
    assert {m.ranks for entry in result.setups for m in entry.measurements} == {2}
    assert result.test is not None
    tested = result.test["recommended"]
    assert tested is not None and tested.n == 100
