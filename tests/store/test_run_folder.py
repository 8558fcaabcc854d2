"""What is read from a run's folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from peftcost.errors import UserError
from peftcost.store.run_folder import RunFolder


def test_a_result_that_is_damaged_is_told_wherever_it_is_read(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.result_file.write_text('{"task": ')
    with pytest.raises(UserError, match=r"result\.json is not JSON .*peftcost\.resume"):
        folder.read_result()
