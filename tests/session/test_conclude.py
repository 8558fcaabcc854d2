"""What is said when a search ends with nothing measured."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from search_events import ACQUIRED, PLANNED

from peftcost.errors import PeftcostError, UserError
from peftcost.searcher.state import SearchState
from peftcost.session.conclude import nothing_measured
from peftcost.store.run_folder import RunFolder


@pytest.fixture
def controller() -> SimpleNamespace:
    state = SearchState()
    state.apply_all([PLANNED, ACQUIRED])
    skipped = [
        {"event": "skipped", "method": "full", "reason": "needs 60 gpu-s", "needs_gpu_seconds": 60.0},
        {"event": "skipped", "method": "lora", "reason": "needs 21 gpu-s", "needs_gpu_seconds": 20.6},
    ]
    journal = SimpleNamespace(events=[PLANNED, *skipped])
    return SimpleNamespace(state=state, journal=journal, left_after=lambda closing: 12.0)


def test_a_budget_that_did_not_last_says_what_more_would_do(controller: SimpleNamespace) -> None:
    entries = [{"method": name, "status": "skipped", "reason": "needs"} for name in ("full", "lora")]
    said = nothing_measured(controller, entries, RunFolder(Path("runs/x")))  # type: ignore[arg-type]
    assert isinstance(said, UserError), "that is exit code 2"
    assert "lora needs 21 s of device time, and 12 s were left" in str(said)
    assert "`peftcost.resume('runs/x', '+10gpu-s')` goes on" in str(said)


def test_what_failed_is_told_with_its_reasons(controller: SimpleNamespace) -> None:
    entries = [
        {"method": "full", "status": "skipped", "reason": "needs 60 gpu-s"},
        {"method": "lora", "status": "failed", "reason": "the dev loss is not finite"},
    ]
    said = nothing_measured(controller, entries, RunFolder(Path("runs/x")))  # type: ignore[arg-type]
    assert isinstance(said, PeftcostError) and not isinstance(said, UserError)
    assert "lora: the dev loss is not finite" in str(said) and "runs/x/workers.log" in str(said)


def test_a_training_that_was_cut_off_lacked_budget_too(controller: SimpleNamespace) -> None:
    trial = SimpleNamespace(
        cut_off=True, setup=SimpleNamespace(id="full-1", arm="full"), predicted=SimpleNamespace(trial_seconds=15.0)
    )
    controller.state.trials[0] = trial
    entries = [{"id": "full-1", "method": "full", "status": "failed"}, {"method": "lora", "status": "skipped"}]
    said = nothing_measured(controller, entries, RunFolder(Path("runs/x")))  # type: ignore[arg-type]
    assert isinstance(said, UserError), "that is exit code 2"
    assert "full needs 15 s of device time" in str(said)
