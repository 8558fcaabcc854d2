"""--keep: what stays of models and checkpoints."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from search_events import ACQUIRED, PLANNED, measured, started

from peftcost.core.setup import Setup
from peftcost.engine.artifact import write_whole
from peftcost.engine.job import NullReporter, TrainJob
from peftcost.engine.messages import Done
from peftcost.engine.train import train
from peftcost.errors import UserError
from peftcost.methods import get_method
from peftcost.methods.plain import TRAINED
from peftcost.searcher.checkpoints import Checkpoints
from peftcost.searcher.controller import Controller
from peftcost.searcher.state import SearchState
from peftcost.session.keep import Keep, checked_keep, keep_checkpoints, keep_models, whole_setups
from peftcost.store.journal import Journal
from peftcost.store.run_folder import RunFolder

ADVISED, TRADE_OFF, OTHER = (
    Setup.of("bitfit", {**get_method("bitfit").prior(), "learning_rate": rate}, 128) for rate in (1e-3, 2e-3, 3e-3)
)


class InProcess(Controller):
    """Jobs aside run here."""

    def run_aside(self, kind: str, payload: dict[str, Any], seconds: float = 0.0) -> Done:
        assert kind == "whole"
        return Done(write_whole(payload, NullReporter()))


@pytest.fixture
def searched(prepared: str, tmp_path: Path) -> tuple[InProcess, Any]:
    """Three setups of a tiny model, trained as a search trains them."""
    folder, state = RunFolder(tmp_path), SearchState()
    state.apply_all([PLANNED | {"methods": ["bitfit"], "probes": {"bitfit": PLANNED["probes"]["lora"]}}, ACQUIRED])
    for number, setup in enumerate((ADVISED, TRADE_OFF, OTHER)):
        out = folder.trial(setup.id, 0)
        out.mkdir(parents=True)
        train(TrainJob(prepared, setup, 0, str(out), whole=False), NullReporter())
        state.apply_all([started(number, setup), measured(number)])
    state.apply({"event": "closing", "t": 9.0, "because": "enough"})
    run = SimpleNamespace(folder=folder, checkpoints=Checkpoints(folder), prepared_for=lambda setup: prepared)
    return InProcess(SimpleNamespace(), Journal(), state), run  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("keep", "whole", "trained", "checkpoints"),
    [
        ("recommended", {ADVISED}, {TRADE_OFF}, set()),
        ("front", {ADVISED, TRADE_OFF}, set(), {ADVISED, TRADE_OFF}),
        ("all", {ADVISED, TRADE_OFF, OTHER}, set(), {ADVISED, TRADE_OFF, OTHER}),
    ],
)
def test_what_stays(
    searched: tuple[InProcess, Any], keep: Keep, whole: set[Setup], trained: set[Setup], checkpoints: set[Setup]
) -> None:
    controller, run = searched
    chosen = whole_setups(keep, controller.state, [TRADE_OFF.id], ADVISED.id)
    keep_checkpoints(controller, run, keep, chosen)
    keep_models(controller, run, chosen, trained={TRADE_OFF.id})
    for number, setup in enumerate((ADVISED, TRADE_OFF, OTHER)):
        out = run.folder.trial(setup.id, 0)
        files = {file.name for file in (out / "model").iterdir()} if (out / "model").exists() else set()
        assert (TRAINED in files) == (setup in trained)
        assert ("model.safetensors" in files) == (setup in whole)
        assert (out / "checkpoint").exists() == (setup in checkpoints)
        assert controller.state.trials[number].has_checkpoint == (setup in checkpoints)
        assert (out / "dev_rows.npy").exists()


def test_a_checkpoint_that_there_was_no_room_for_is_not_there_to_go_on_from(searched: tuple[InProcess, Any]) -> None:
    controller, run = searched
    run.folder.forget(TRADE_OFF.id, 0, "checkpoint")
    keep_checkpoints(controller, run, "all", {ADVISED.id, TRADE_OFF.id})
    assert [trial.has_checkpoint for trial in controller.state.trials.values()] == [True, False, False]


def test_a_setup_that_is_not_on_the_front_can_be_recommended(searched: tuple[InProcess, Any]) -> None:
    controller, _ = searched
    assert whole_setups("front", controller.state, [TRADE_OFF.id], OTHER.id) == {TRADE_OFF.id, OTHER.id}


def test_another_word_is_refused() -> None:
    with pytest.raises(UserError, match="keep= is 'recomended'.*recommended"):
        checked_keep("recomended")
