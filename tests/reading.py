"""Reads a file that a test writes."""

from __future__ import annotations

from pathlib import Path

from peftcost.data.readers import read_table
from peftcost.data.table import Table


def read(folder: Path, name: str, content: str | bytes, skip: bool = False) -> Table:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_table(path, skip_bad_rows=skip)
