"""A run's study goes on wherever its folder lies and whatever it is called."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest

from peftcost.errors import EnvironmentFailure
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


def test_a_full_disk_is_told_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    study = Study(path, "run", SPACES)
    engine = study._study._storage._backend.engine  # type: ignore[attr-defined]
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 1")  # as if no page more went onto the disk
        full = int(connection.exec_driver_sql("PRAGMA max_page_count").scalar())
    assert full * 4096 <= path.stat().st_size
    with pytest.raises(EnvironmentFailure, match=r"study\.db cannot be written \(database or disk is full\); free the disk"):
        for _ in range(200):
            study.add("lora", get_method("lora").prior())
    Study(path, "run", SPACES).sync_with_journal({}, set())
    Study(path, "run", SPACES).add("lora", get_method("lora").prior())


def test_a_folder_may_have_any_name(tmp_path: Path) -> None:
    run = tmp_path / "what? no/50 % off#1"
    run.mkdir(parents=True)
    Study(run / "study.db", "run", SPACES)
    assert (run / "study.db").stat().st_size > 0
    assert [path.name for path in tmp_path.iterdir()] == ["what? no"]
