"""Decodes the bytes of a text file."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from pathlib import Path

from peftcost.data.table import Rejects
from peftcost.errors import UserError

BYTE_ORDER_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16, whose mark it begins with
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
NO_CHARACTER = re.compile("[\0\udc80-\udcff]")
"""What stands for a broken byte in a text that was decoded leniently, and NUL."""
LOOKED_AT = 1000
"""Bytes that show whether a file is UTF-16 without a mark."""


def read_text(path: Path) -> str:
    """The text of a file; UserError that names the first broken line."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); check its permissions.") from error
    return decode(raw, str(path))


def decode(raw: bytes, name: str, skip: bool = False) -> str:
    """The text of UTF-8 bytes, with or without a byte order mark, or of UTF-16 and UTF-32.

    UserError that names the first broken line of the file `name`. With skip, broken bytes and NULs are left in it as what
    NO_CHARACTER finds, so that the rows that hold them can be told.
    """
    encoding = next((name for mark, name in BYTE_ORDER_MARKS.items() if raw.startswith(mark)), _without_mark(raw))
    raw = raw.removeprefix(codecs.BOM_UTF8)
    if not raw.strip():
        raise UserError(f"{name} is empty; give one that holds something.")
    if encoding != "utf-8":
        try:
            text = raw.decode(encoding).removeprefix("\ufeff")
        except UnicodeDecodeError as error:
            raise UserError(
                f"{name} begins as {encoding.upper()}, but byte {error.start + 1} is none; write the file as UTF-8."
            ) from error
        if not text.strip():
            raise UserError(f"{name} is empty; give one that holds something.")
    else:
        text = _utf8(raw, name, skip)
    text = text.lstrip("\ufeff")  # some programs write the mark twice
    nul = text.find("\0")
    if nul >= 0 and not skip:
        line = text.count("\n", 0, nul) + 1
        raise UserError(f"{name}, line {line}: holds a NUL byte, so it is no text file or damaged; write it again.")
    return text


def lines_of(text: str) -> Iterator[str]:
    """The lines of a text, one by one: all at once would take as much memory again."""
    start = 0
    while (end := text.find("\n", start)) >= 0:
        yield text[start:end]
        start = end + 1
    yield text[start:]


def reject_broken(text: str, name: str, line: int, reject: Rejects) -> bool:
    """Whether this part of a leniently decoded text holds broken bytes; then it is told."""
    found = NO_CHARACTER.search(text)
    if found is None:
        return False
    byte = ord(found[0]) & 0xFF
    reject(f"{name}, line {line}: byte 0x{byte:02x} is {'not UTF-8' if byte else 'NUL'}; save the file as UTF-8.")
    return True


def _utf8(raw: bytes, name: str, skip: bool) -> str:
    try:
        return raw.decode("utf-8", errors="surrogateescape" if skip else "strict")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"{name}, line {line}: byte 0x{raw[error.start]:02x} is not UTF-8; save the file as UTF-8 "
            f"(if it is Windows' Latin-1: `iconv -f windows-1252 -t utf-8 {Path(name).name}`; Excel calls it CSV UTF-8)."
        ) from error


def _without_mark(raw: bytes) -> str:
    """UTF-16 of Western text has a NUL in every other byte."""
    head = raw[:LOOKED_AT]
    for encoding, nuls, others in (("utf-16-le", head[1::2], head[::2]), ("utf-16-be", head[::2], head[1::2])):
        if len(head) > 3 and nuls.count(0) > 0.9 * len(nuls) and others.count(0) == 0:
            return encoding
    return "utf-8"
