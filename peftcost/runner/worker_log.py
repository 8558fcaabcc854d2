"""Where workers write as long as there is no run's folder."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from peftcost.errors import UserError


@contextmanager
def worker_log() -> Iterator[Path]:
    """A file for what workers say. It is deleted at the end, but stays where an error passes that may point to it."""
    handle, name = tempfile.mkstemp(prefix="peftcost-workers-", suffix=".log")
    os.close(handle)
    stays = False
    try:
        yield Path(name)
    except Exception as error:
        stays = not isinstance(error, UserError)
        raise
    finally:
        if not stays:
            Path(name).unlink(missing_ok=True)
