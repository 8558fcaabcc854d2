"""A run's study goes on wherever its folder lies and whatever it is called."""

from __future__ import annotations

from pathlib import Path

import optuna

from peftcost.methods import get_method
from peftcost.store.study import Study, sqlite_url

SPACES = {"lora": get_method("lora").space()}


def test_a_renamed_folder_keeps_its_study(tmp_path: Path) -> None:
    run = tmp_path / "first"
    run.mkdir()
    before = Study(run / "study.db", "first", SPACES)
    before.sync_with_journal({}, set())
    run.rename(tmp_path / "second")
    Study(tmp_path / "second" / "study.db", "second", SPACES)
    assert optuna.get_all_study_names(sqlite_url(tmp_path / "second" / "study.db")) == ["first"]


def test_a_folder_may_have_any_name(tmp_path: Path) -> None:
    run = tmp_path / "what? no/50 % off#1"
    run.mkdir(parents=True)
    Study(run / "study.db", "run", SPACES)
    assert (run / "study.db").stat().st_size > 0
    assert [path.name for path in tmp_path.iterdir()] == ["what? no"]
