"""What the user names to be written: nothing that was worked for is lost where it cannot be."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest

from peftcost.errors import EnvironmentFailure, UserError
from peftcost.store.outputs import cannot_be_written, check_can_be_made, deliver


@pytest.fixture
def made(tmp_path: Path) -> Path:
    folder = tmp_path / "work" / "model"
    folder.mkdir(parents=True)
    (folder / "weights").write_text("42")
    return folder


def test_a_folder_is_delivered_whole(made: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "model"
    deliver(made, out)
    assert (out / "weights").read_text() == "42"
    assert [path.name for path in out.parent.iterdir()] == ["model"]


def test_on_a_full_disk_it_is_kept_where_the_error_says(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(source: Path, to: Path) -> None:
        Path(to).mkdir()
        raise shutil.Error([(str(source / "weights"), str(to / "weights"), f"[Errno 28] {os.strerror(errno.ENOSPC)}")])

    monkeypatch.setattr(shutil, "copytree", full)
    out = tmp_path / "model"
    with pytest.raises(EnvironmentFailure, match="the disk is full.*free some space.*is kept in") as caught:
        deliver(made, out)
    kept = Path(str(caught.value).rsplit("kept in ", 1)[1].rstrip("."))
    assert (kept / "weights").read_text() == "42"
    assert [path.name for path in tmp_path.iterdir()] == ["work"]
    shutil.rmtree(kept.parent)


def test_a_path_that_cannot_be_is_the_users_and_a_full_disk_is_not(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file is not a folder that can be written to"):
        check_can_be_made(tmp_path / "file" / "model")
    assert cannot_be_written(tmp_path, IsADirectoryError(errno.EISDIR, "Is a directory")).exit_code == 2
    assert cannot_be_written(tmp_path, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))).exit_code == 4
