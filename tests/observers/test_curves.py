"""Learning curves lie in the run's folder as soon as they are known."""

from __future__ import annotations

from pathlib import Path

import pytest
from search_events import ACQUIRED, PLANNED, SETUP, measured, started

from peftcost.engine.messages import Progress
from peftcost.errors import UserError
from peftcost.observers.curves import LearningCurves
from peftcost.runner.books import Books
from peftcost.runner.curve import CurveFile
from peftcost.searcher.state import SearchState
from peftcost.store.learning_curve import LearningCurve, curve_file, curve_of, learning_curve, read_lines
from peftcost.store.run_folder import RunFolder

LONGER = SETUP.until(600)


@pytest.fixture
def state() -> SearchState:
    found = SearchState()
    found.apply_all([PLANNED, ACQUIRED, started(0)])
    return found


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    for setup in (SETUP, LONGER):
        (tmp_path / "setups" / setup.id / "seed-0").mkdir(parents=True)
    return RunFolder(tmp_path)


def test_another_process_can_read_a_curve_while_it_grows(folder: RunFolder, state: SearchState) -> None:
    curves = LearningCurves(folder)
    curves.on_progress(0, Progress(20, 40, 0.6, [[10, 0.9], [20, 0.7]]), state)
    assert learning_curve(folder.path, SETUP.id, 0) == LearningCurve(40, [10, 20], [0.9, 0.7], [])
    with curve_file(folder, SETUP.id, 0).open("a") as file:
        file.write('{"step": 30, "train_l')  # it is being written
    assert learning_curve(folder.path, SETUP.id, 0).steps == [10, 20]


def test_a_curve_ends_with_the_dev_evaluation(folder: RunFolder, state: SearchState) -> None:
    curves = LearningCurves(folder)
    curves.on_progress(0, Progress(40, 40, 0.6, [[20, 0.9], [40, 0.7]], [[20, 0.8, 0.5]]), state)
    state.apply(measured(0))
    curves.on_event(measured(0), state)
    assert learning_curve(folder.path, SETUP.id, 0).evaluations == [(20, 0.8, 0.5), (40, 0.6, 0.75)]


def test_a_lineage_has_one_curve_without_the_branch_that_cooled_down(folder: RunFolder, state: SearchState) -> None:
    curves = LearningCurves(folder)
    curves.on_progress(0, Progress(40, 40, 0.6, [[10, 0.9], [20, 0.8], [30, 0.7], [40, 0.1]]), state)
    for event in (measured(0), started(1, LONGER, parent=0, t=6.0)):
        state.apply(event)
        curves.on_event(event, state)
    curves.on_progress(1, Progress(60, 80, 0.5, [[40, 0.6], [60, 0.5]], first_step=30), state)
    found = learning_curve(folder.path, LONGER.id, 0)
    assert list(zip(found.steps, found.train_loss, strict=True)) == [(10, 0.9), (20, 0.8), (30, 0.7), (40, 0.6), (60, 0.5)]


def test_a_stretch_that_is_trained_again_after_a_crash_counts_once(folder: RunFolder, state: SearchState) -> None:
    LearningCurves(folder).on_progress(0, Progress(20, 40, 0.6, [[10, 0.9], [20, 0.7]]), state)
    LearningCurves(folder).on_progress(0, Progress(30, 40, 0.6, [[20, 0.71], [30, 0.6]], first_step=13), state)
    found = learning_curve(folder.path, SETUP.id, 0)
    assert list(zip(found.steps, found.train_loss, strict=True)) == [(10, 0.9), (20, 0.7), (30, 0.6)]


def test_without_a_curve_the_error_names_the_file(folder: RunFolder) -> None:
    with pytest.raises(UserError, match="curve.jsonl: the setup was not trained with seed 0"):
        learning_curve(folder.path, SETUP.id, 0)


def test_one_training_after_the_other_has_its_own_curve_without_a_search(tmp_path: Path) -> None:
    curve = CurveFile(tmp_path / "first.jsonl")
    curve.on_progress(0, Progress(40, 40, 0.6, [[20, 0.9], [40, 0.7]]), Books())
    curve.end({"dev_loss": 0.5, "quality": 0.8})
    (tmp_path / "second.jsonl").write_text("left by one that was interrupted\n")
    curve.begin(tmp_path / "second.jsonl")
    curve.on_progress(0, Progress(10, 30, 0.9, [[10, 1.1]]), Books())
    curve.on_progress(0, Progress(30, 30, 0.8, [[30, 0.8]]), Books())
    assert curve_of(read_lines(tmp_path / "first.jsonl")) == LearningCurve(40, [20, 40], [0.9, 0.7], [(40, 0.5, 0.8)])
    assert curve_of(read_lines(tmp_path / "second.jsonl")) == LearningCurve(30, [10, 30], [1.1, 0.8], [])
