"""Amounts of memory, as people write them and as files take them."""

from __future__ import annotations

import re
from pathlib import Path

from peftcost.errors import UserError

UNITS = {
    "B": 1,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KIB": 2**10,
    "MIB": 2**20,
    "GIB": 2**30,
}


def parse_bytes(text: str) -> int:
    """ "8GB" or "500 MiB" in bytes. UserError for what is not an amount above zero."""
    match = re.fullmatch(r"([\d.]+)\s*([a-z]+)", text.strip(), re.IGNORECASE)
    try:
        amount = float(match[1]) * UNITS[match[2].upper()] if match else 0.0
    except (ValueError, KeyError):
        amount = 0.0
    if amount <= 0:
        raise UserError(f"{text!r} is not an amount of memory; write for example 8GB, 500MB or 24GiB.")
    return round(amount)


def format_bytes(n: float) -> str:
    """Bytes as people say them, decimal: "480 MB", "1.2 GB"."""
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("KB", 10**3)):
        if n >= size:
            value = n / size
            return f"{value:.0f} {unit}" if value >= 100 else f"{value:.1f} {unit}"
    return f"{n:.0f} B"


def folder_bytes(folder: Path) -> int:
    """What the folder's files take; 0 for one that is not there, or that has just gone."""
    try:
        return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    except OSError:
        return 0
