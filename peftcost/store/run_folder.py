"""Where things lie in a run's folder, and making one without leaving half of it behind."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from peftcost.core.memory import folder_bytes
from peftcost.errors import UserError
from peftcost.store.outputs import check_can_be_made


@dataclass(frozen=True)
class RunFolder:
    """runs/NAME: the whole truth about a run; it can be moved or zipped, so nothing in it holds its own path."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def task_file(self) -> Path:
        return self.path / "task.yaml"

    @property
    def journal_file(self) -> Path:
        return self.path / "events.jsonl"

    @property
    def study_file(self) -> Path:
        return self.path / "study.db"

    @property
    def result_file(self) -> Path:
        return self.path / "result.json"

    @property
    def recipe_file(self) -> Path:
        return self.path / "recipe.yaml"

    @property
    def log_file(self) -> Path:
        return self.path / "workers.log"

    @property
    def data(self) -> Path:
        """Rows that the caller had in memory."""
        return self.path / "data"

    @property
    def baselines(self) -> Path:
        return self.path / "baselines"

    @property
    def copies_file(self) -> Path:
        """Which dev examples are copies of one another; only where some are."""
        return self.path / "dev_copies.npy"

    def trial(self, setup_id: str, seed: int) -> Path:
        """Artifact, rows and checkpoints of one setup trained with one seed."""
        return self.path / "setups" / setup_id / f"seed-{seed}"

    def parts(self, setup_id: str, rows: int) -> Path:
        """The dev rows of a setup that was trained on so many of the training rows."""
        return self.path / "setups" / setup_id / f"on-{rows}-rows"

    def read_result(self) -> dict[str, Any]:
        """result.json; UserError when the run has not got that far, or the file is not JSON."""
        if not self.result_file.exists():
            raise UserError(f"{self.path} has no result.json; finish the run with `peftcost resume {self.path}` first.")
        try:
            return json.loads(self.result_file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise UserError(
                f"{self.result_file} is not JSON ({error}); write it again with `peftcost resume {self.path}`."
            ) from error

    def write(self, path: Path, text: str) -> None:
        """Write a file of the run aside, then rename: a reader sees the old or the new one."""
        aside = path.with_name(f".{path.name}.new")
        aside.write_text(text, encoding="utf-8")
        os.replace(aside, path)

    def bytes_of(self, setup_id: str, seed: int, what: str) -> int:
        """What the "model" or the "checkpoint" of a trial takes; 0 without one."""
        return folder_bytes(self.trial(setup_id, seed) / what)

    def forget(self, setup_id: str, seed: int, what: str) -> None:
        """Delete the "model" or the "checkpoint" of a trial; its rows stay."""
        shutil.rmtree(self.trial(setup_id, seed) / what, ignore_errors=True)


def checked_out_path(out: Path | str | None, name: str) -> Path:
    """Where a run will lie: out, else a free folder in runs/. UserError, before anything is spent, if that cannot be."""
    path = Path(out) if out is not None else free_run_path(Path("runs"), name)
    check_free(path)
    check_can_be_made(path)
    return path


def check_free(path: Path) -> None:
    """UserError when something lies there already."""
    if path.exists():
        raise UserError(f"{path} exists already; choose another --out, or go on with `peftcost resume {path}`.")


def new_run_folder(path: Path) -> RunFolder:
    """Make the folder. UserError if it exists already or cannot be made."""
    check_free(path)
    try:
        path.mkdir(parents=True)
    except OSError as error:
        raise UserError(f"{path} cannot be made ({error.strerror}); choose another --out.") from error
    return RunFolder(path)


def free_run_path(parent: Path, name: str) -> Path:
    """parent/name, or parent/name-2, -3, … whichever is free."""
    path, n = parent / name, 1
    while path.exists():
        n += 1
        path = parent / f"{name}-{n}"
    return path


def open_run_folder(path: Path) -> RunFolder:
    """An existing run; UserError when that is not one."""
    folder = RunFolder(path)
    if not folder.journal_file.exists():
        raise UserError(f"{path} is not a run's folder (it has no events.jsonl); runs are made by `peftcost search`.")
    return folder


def check_unchanged(then: Mapping[str, str], now: Mapping[str, str], folder: RunFolder) -> None:
    """UserError when data, model or the user's own metric, by their fingerprints, are not what the run began with."""
    for name in then:
        if then[name] != now.get(name):
            raise UserError(
                f"The {name} of {folder.path} changed since the run began (fingerprint {then[name][:12]}, now "
                f"{now.get(name, 'none')[:12]}); put the old one back, or start a new search."
            )


def single_writer(folder: RunFolder) -> FileLock:
    """A lock that lets one process write a run; UserError if another holds it."""
    lock = FileLock(folder.path / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise UserError(f"Another process is working on {folder.path}; wait for it or stop it.") from error
    return lock
