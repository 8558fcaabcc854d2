"""A search whose LoRA setups train over one pass of the base. No GPU is needed: here the CPU is made to share."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import peftcost
from peftcost.methods import get_method
from peftcost.methods.lora import Lora
from peftcost.searcher import controller, surrogate
from peftcost.searcher.state import SearchState
from peftcost.task.task import Rows, load_task

pytestmark = pytest.mark.timed


@pytest.fixture(scope="module")
def run(tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> peftcost.Run:
    task = load_task("builtin:tweets").model_copy(
        update={"model": str(tiny_bert), "rows": Rows(train=400, dev=120, test=100)}
    )
    space = get_method("lora").space()  # of these choices alone, so that whatever is decided can share
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(controller, "SHARED", ("cpu",))
        patch.setattr(Lora, "space", lambda self: {name: space[name] for name in ("learning_rate", "rank")})
        surrogate._vector.cache_clear()  # vectors of the whole space, from other tests
        out = tmp_path_factory.mktemp("runs") / "shared"
        run = peftcost.search(task, "30gpu-s", methods=["lora"], seed=1, out=out, devices="cpu")
    surrogate._vector.cache_clear()
    return run


def test_setups_are_trained_together_and_told_apart(run: peftcost.Run) -> None:
    measurements = [one for entry in run.result.setups for one in entry.measurements]
    assert {one.cost_basis for one in measurements} == {"measured", "imputed"}
    assert all(one.gpu_seconds > 0 and one.peak_bytes > 0 for one in measurements)
    others = [entry.reason or "" for entry in run.result.setups if entry.status != "measured"]
    assert all(reason.startswith("stopped: the budget") for reason in others), "a busy machine may cut off the last ones"


def test_the_device_is_booked_once(run: peftcost.Run) -> None:
    state = SearchState()
    events = [json.loads(line) for line in run.folder.journal_file.read_text().splitlines()]
    state.apply_all(events)
    result = run.result
    assert sum(result.ledger.values()) == pytest.approx(result.budget.spent_gpu_seconds)
    assert result.budget.spent_gpu_seconds <= 30
    assert not state.running()
    started = [event["t"] for event in events if event["event"] == "started"]
    assert any(later - earlier < 1.0 for earlier, later in zip(started, started[1:], strict=False))
