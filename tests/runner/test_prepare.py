"""Before data are tokenized: where they are to be written."""

from __future__ import annotations

from pathlib import Path

import pytest

from peftcost.errors import EnvironmentFailure
from peftcost.runner.prepare import check_cache


def test_a_cache_that_cannot_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("PEFTCOST_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(EnvironmentFailure, match=r"file/cache cannot be written \(Not a directory\); set PEFTCOST_CACHE"):
        check_cache()
    monkeypatch.setenv("PEFTCOST_CACHE", str(tmp_path / "cache"))
    check_cache()
    assert list((tmp_path / "cache").iterdir()) == []
