"""The log that an error points to is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from peftcost.errors import EnvironmentFailure, UserError
from peftcost.runner.worker_log import worker_log


def log_after(error: BaseException | None) -> Path:
    """The log of work that ends so."""
    try:
        with worker_log() as log:
            log.write_text("a traceback")
            if error is not None:
                raise error
    except BaseException as raised:
        assert raised is error
    return log


@pytest.mark.parametrize("error", [EnvironmentFailure("the worker died"), ValueError()])
def test_it_stays_where_something_went_wrong(error: Exception) -> None:
    log = log_after(error)
    assert log.read_text() == "a traceback"
    log.unlink()


@pytest.mark.parametrize("error", [None, UserError("no such column"), KeyboardInterrupt()])
def test_else_nothing_is_left(error: BaseException | None) -> None:
    assert not log_after(error).exists()
