"""Reads data files: one file per format, found by looking into this folder."""

from __future__ import annotations

import gzip
import os
import sys
import zlib
from dataclasses import replace
from functools import cache
from itertools import islice
from pathlib import Path

from peftcost.core.registry import discover
from peftcost.data.cells import lists_from_text
from peftcost.data.guess import listed
from peftcost.data.hub_files import hub_file, is_hub_file
from peftcost.data.media import metadata_of
from peftcost.data.metadata import FILE_NAME, of_named_files
from peftcost.data.readers.base import Reader, Source
from peftcost.data.sentences import gather_sentences
from peftcost.data.shards import shards_of
from peftcost.data.split_folder import tables_in
from peftcost.data.table import Rejects, Table
from peftcost.errors import UserError, slash_hint

STANDARD_INPUT = "-"
LOOKED_AT = 1000
"""Files that show what a folder of no known form holds."""
GZIP = b"\x1f\x8b"
LIST_NAMES = ("labels", "tags", "ner_tags", "tokens", "words")
"""What columns of lists are called; elsewhere a text that reads as a list may be a completion."""
OTHER_FILES = {
    (".xlsx", ".xls", ".ods"): "is a workbook; save its sheet as CSV UTF-8",
    (".pkl", ".pickle", ".pt", ".npy", ".npz"): "may run code when it is read; write the rows as Parquet or JSON lines",
    (".zip", ".tar", ".7z", ".rar", ".bz2", ".xz", ".zst"): "is an archive; unpack it",
    (".db", ".sqlite", ".sqlite3"): "is a database; write the rows as CSV",
    (".conllu",): "has several kinds of tags; keep the word and one tag a line, in a .conll file",
    (".pdf", ".doc", ".docx"): "is a document; write its texts as the rows of a .csv file",
}

NO_DATA = {
    b"version https://git-lfs.github.com/spec/": "only names the data, which Git LFS keeps elsewhere; run `git lfs pull`",
    b"<!doctype html": "is a web page, not the data behind it; download the file itself",
    b"<html": "is a web page, not the data behind it; download the file itself",
    b"pk\x03\x04": "is a workbook or an archive, whatever its ending; save the sheet as CSV UTF-8, or unpack it",
    b"\xd0\xcf\x11\xe0": "is a workbook, whatever its ending; save its sheet as CSV UTF-8",
    b"bzh91ay&sy": "is packed with bzip2; unpack it",
    b"\xfd7zxz": "is packed with xz; unpack it",
    b"\x28\xb5\x2f\xfd": "is packed with zstd; unpack it",
    b"7z\xbc\xaf": "is an archive; unpack it",
    b"rar!\x1a": "is an archive; unpack it",
    b"sqlite format 3": "is a database; write the rows as CSV",
    b"%pdf-": "is a document; write its texts as the rows of a .csv file",
}
"""How files begin, in small letters, that are often taken for the data."""


@cache
def readers() -> dict[str, Reader]:
    """All readers by name."""
    return discover(__name__, __path__, Reader)  # type: ignore[type-abstract]


def read_table(path: str | Path, skip_bad_rows: bool = False) -> Table:
    """The rows of a data file, of one on the hub (hf://…), of a folder that `datasets` saved, of shards (a folder of them, or
    NAME-*.parquet), or of standard input ("-").

    Cells of CSV files are strings, or lists where the cells of a column write them. The other formats keep their types but in
    columns that are called as lists of labels or words are. ClassLabel columns become label names. Words with a sentence's
    number become lists, one row a sentence.
    UserError, with file and line or row, for whatever cannot be read; with skip_bad_rows single rows of that kind stand in
    `Table.rejected` instead.
    """
    source = _source(path)
    reject = Rejects(skip_bad_rows)
    table = _read(source, reject)
    if not table.rows:
        told = f" The first row that cannot be read: {reject.told[0]}" if reject.told else ""
        raise UserError(f"{source.name} has no rows; give a file with data.{told}")
    if not table.columns:
        raise UserError(f"{source.name} has rows of nothing; give each a text, at least.")
    return gather_sentences(replace(lists_from_text(table, LIST_NAMES), rejected=reject.told), reject)


def _read(source: Source, reject: Rejects) -> Table:
    if source.folder is not None and source.metadata is not None:
        named = of_named_files(_read(source.metadata, reject), source.folder, source.name, reject)
        if named is not None:
            return named
    if not source.parts:
        return _reader_for(source).read(source, reject)
    first, *others = (_read(part, reject) for part in source.parts)
    for other in others:
        if set(other.columns) != set(first.columns):
            raise UserError(
                f"{other.path} has other columns ({other.listed}) than {first.path} ({first.listed}); write the shards again."
            )
    rows = [row for table in (first, *others) for row in table.rows]
    return Table(source.name, first.columns, rows, list(range(1, len(rows) + 1)), unit="row")


def _source(path: str | Path) -> Source:
    if str(path) == STANDARD_INPUT:
        return Source("standard input", "", _unpacked(sys.stdin.buffer.read(), "standard input"))
    name = str(path)
    path = hub_file(name) if is_hub_file(name) else Path(path)
    shards = shards_of(path)
    if shards:
        return Source(name, "", parts=tuple(map(_source, shards)))
    if os.path.isdir(path):  # unlike pathlib's, it takes a path that is too long
        return Source(str(path), "", folder=path, metadata=_metadata(path))
    if not os.path.exists(path):
        raise UserError(f"There is no data file {path}; check the path{slash_hint(name)}.")
    endings = [ending.lower() for ending in path.suffixes]
    if endings and endings[-1] in (".gz", ".gzip"):
        endings.pop()
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); check its permissions.") from error
    ending = endings[-1] if endings else ""
    return Source(name, ending, raw if _why_not_read(ending) else _unpacked(raw, name))


def _metadata(folder: Path) -> Source | None:
    """The table that names a folder's files, if it has a column of them."""
    path = metadata_of(folder)
    source = None if path is None else _source(path)
    return source if source is not None and FILE_NAME.encode() in source.raw else None


def _unpacked(raw: bytes, name: str) -> bytes:
    begins = raw[:100].lstrip().lower()
    for sign, why in NO_DATA.items():
        if begins.startswith(sign):
            raise UserError(f"{name} {why}.")
    if not raw.startswith(GZIP):
        return raw
    try:
        return gzip.decompress(raw)
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{name} is a damaged .gz file ({error}); copy it again.") from error


def _one_of_texts(folder: Path) -> Path | None:
    """A text file of a folder that holds such files more than others, as far as is looked."""
    files = list(islice((path for path in folder.rglob("*") if path.is_file()), LOOKED_AT))
    texts = [path for path in files if path.suffix.lower() == ".txt"]
    return texts[0] if 2 * len(texts) > len(files) else None


def _reader_for(source: Source) -> Reader:
    """The reader that recognises the content, else the one of the ending."""
    for reader in readers().values():
        if reader.recognises(source):
            return reader
    if source.folder is not None and (names := tables_in(source.folder)):
        raise UserError(
            f"{source.name} is a folder, and none of its files is called train ({listed(names, 'files')}); give one file, or "
            f"name the splits in task.yaml, as in data: {{train: {source.folder / names[0]}, …}}."
        )
    if source.folder is not None and (text := _one_of_texts(source.folder)):
        raise UserError(
            f"{source.name} holds a file for each text ({text.relative_to(source.folder)}, …); write them into one table, "
            "with a column for the texts and one for their folders, as in text,label."
        )
    if source.folder is not None and not any(source.folder.iterdir()):
        raise UserError(f"{source.name} is an empty folder; give one with data, or a file.")
    if source.folder is not None:
        raise UserError(
            f"{source.name} is a folder, but none that `datasets` saved (no state.json), nor one of shards alone "
            f"(train-00000-of-00002.parquet, …); {_what_is_read()}"
        )
    for reader in readers().values():
        if source.ending in reader.endings:
            return reader
    why = _why_not_read(source.ending) or "is no data file that is read here"
    ending = repr(source.ending) if source.ending else "'nothing'"
    raise UserError(f"{source.name} ends in {ending}, which {why}; {_what_is_read()}")


def _why_not_read(ending: str) -> str | None:
    return next((why for endings, why in OTHER_FILES.items() if ending in endings), None)


def _what_is_read() -> str:
    kinds = (
        f"{reader.name} ({', '.join(filter(None, reader.endings))})" if reader.endings else reader.name
        for reader in readers().values()
    )
    return f"give one of these: {'; '.join(kinds)}."
