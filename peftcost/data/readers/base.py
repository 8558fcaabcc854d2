"""What a reader of a file format is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from peftcost.data.table import Rejects, Table
from peftcost.data.text import decode

LOOKED_AT = 2**16
"""Bytes that show what kind of file it is."""


@dataclass(frozen=True)
class Source:
    """A file or a folder. name: for messages. ending: ".csv", in lower case, or "". raw: a file's bytes, unpacked. parts: the
    files that hold its rows in turn, if there are several. metadata: the table of a folder's files."""

    name: str
    ending: str
    raw: bytes = b""
    folder: Path | None = None
    parts: tuple[Source, ...] = ()
    metadata: Source | None = None

    def text(self, reject: Rejects) -> str:
        """All of it as text; UserError that names the first broken line."""
        return decode(self.raw, self.name, reject.skip)

    @cached_property
    def head(self) -> str:
        """Its first lines as far as they are text, for a look; "" for a folder."""
        return self.raw[:LOOKED_AT].decode("utf-8", errors="ignore").lstrip("\ufeff")


class Reader(ABC):
    """Reads one format. endings: of files that hold it. shape: what such a file looks like, for messages."""

    name: ClassVar[str]
    endings: ClassVar[tuple[str, ...]]
    shape: ClassVar[str]

    def recognises(self, source: Source) -> bool:
        """Whether the content shows this format, whatever the ending says."""
        return False

    @abstractmethod
    def read(self, source: Source, reject: Rejects) -> Table:
        """The rows. UserError, with file and line, for a file that is none of this format; `reject` takes single rows."""
