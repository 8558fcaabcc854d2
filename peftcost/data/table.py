"""Reads a data file into rows that still know their line, so that every complaint can name one."""

from __future__ import annotations

import codecs
import csv
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peftcost.errors import UserError

DELIMITERS = {".csv": ",", ".tsv": "\t"}
ENDINGS = "CSV (.csv), TSV (.tsv), JSON lines (.jsonl), Parquet (.parquet) or a folder saved by `datasets`"
LONGEST_CELL = 2**31 - 1
"""Characters; the csv module's own limit of 131,072 refuses long documents."""


@dataclass(frozen=True)
class Table:
    """Rows of a file. lines[i]: where row i begins, counted from 1, in `unit`s ("line" of a text file, or "row")."""

    path: str
    columns: list[str]
    rows: list[dict[str, Any]]
    lines: list[int]
    unit: str = "line"

    @property
    def listed(self) -> str:
        """The columns' names, for messages."""
        return ", ".join(map(repr, self.columns))

    def place(self, i: int) -> str:
        """Where row i stands, for messages: "reviews.csv, line 7"."""
        return f"{self.path}, {self.unit} {self.lines[i]}"


def read_table(path: str | Path) -> Table:
    """Read a CSV, TSV, JSONL or Parquet file, or a folder written by `Dataset.save_to_disk`.

    Cells of CSV and TSV are strings; the others keep their types, and ClassLabel columns become label names.
    UserError, with file and line or row, for whatever cannot be read.
    """
    path = Path(path)
    if not path.exists():
        raise UserError(f"There is no data file {path}; check the path.")
    ending = path.suffix.lower()
    if path.is_dir():
        table = _read_dataset_folder(path)
    elif ending in DELIMITERS:
        table = parse_delimited(str(path), read_text(path), DELIMITERS[ending])
    elif ending == ".jsonl":
        table = parse_json_lines(str(path), read_text(path))
    elif ending == ".parquet":
        table = _read_parquet(path)
    else:
        raise UserError(f"{path} ends in {ending or 'nothing'!r}, which peftcost does not read; convert it to {ENDINGS}.")
    if not table.rows:
        raise UserError(f"{path} has no rows; give a file with data.")
    return table


def read_text(path: Path) -> str:
    """The text of a UTF-8 file, with or without a byte order mark; UserError that names the first broken line."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); check its permissions.") from error
    raw = raw.removeprefix(codecs.BOM_UTF8)
    if not raw.strip():
        raise UserError(f"{path} is empty; give a file with a header and rows.")
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise UserError(f"{path} is UTF-16; save it as UTF-8 (`iconv -f utf-16 -t utf-8 {path.name}`).")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"{path}, line {line}: byte 0x{raw[error.start]:02x} is not UTF-8; save the file as UTF-8 "
            f"(if it is Latin-1: `iconv -f latin1 -t utf-8 {path.name}`)."
        ) from error
    nul = text.find("\0")
    if nul >= 0:
        line = text.count("\n", 0, nul) + 1
        raise UserError(f"{path}, line {line}: holds a NUL byte, so it is no text file or damaged; write it again.")
    return text


def parse_delimited(path: str, text: str, delimiter: str) -> Table:
    """CSV or TSV with a header. UserError for ragged rows, broken quotes and column names that stand twice."""
    with _long_cells():
        records = _records(path, text, delimiter)
        header_line, header = next(records, (1, []))
        _check_header(path, header_line, header, delimiter)
        rows, lines = [], []
        for line, cells in records:
            if len(cells) != len(header):
                raise UserError(
                    f"{path}, line {line}: expected {len(header)} cells as in the header, but got {len(cells)}; put "
                    f'quotes (") around cells that hold a {"tab" if delimiter == chr(9) else "comma"} or a line break.'
                )
            rows.append(dict(zip(header, cells, strict=True)))
            lines.append(line)
    if not rows:
        raise UserError(f"{path} has a header but no rows; add rows below it.")
    return Table(path, header, rows, lines)


def _records(path: str, text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """The line on which a record begins, and its cells; blank lines are passed over."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    line = 1
    try:
        for cells in reader:
            if cells:
                yield line, cells
            line = reader.line_num + 1
    except csv.Error as error:
        raise UserError(
            f"{path}, line {line}: its quotes do not match ({error}); close each quoted cell, and write a quote "
            'inside of one twice ("").'
        ) from error


def _check_header(path: str, line: int, header: list[str], delimiter: str) -> None:
    other = next((c for c in ";\t," if c != delimiter and len(header) == 1 and c in header[0]), None)
    if other is not None:
        raise UserError(
            f"{path}, line {line}: the header {header[0]!r} is one column; its cells seem to be separated by {other!r}. "
            "Save it with commas (.csv) or tabs (.tsv)."
        )
    for i, name in enumerate(header):
        if name in header[:i]:
            raise UserError(
                f"{path}, line {line}: the column name {name!r} stands twice (columns {header.index(name) + 1} and "
                f"{i + 1}); rename one of them."
            )


@contextmanager
def _long_cells() -> Iterator[None]:
    before = csv.field_size_limit(LONGEST_CELL)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def parse_json_lines(path: str, text: str) -> Table:
    """One JSON object a line; a key that a row lacks is missing there. UserError for a line that is none."""
    columns: dict[str, None] = {}
    rows, lines = [], []
    for line, content in enumerate(text.split("\n"), start=1):
        if not content.strip():
            continue
        try:
            row = json.loads(content, object_pairs_hook=_without_repeats)
        except (ValueError, RecursionError) as error:
            raise UserError(f"{path}, line {line}: is not JSON ({error}); write one JSON object a line.") from error
        if not isinstance(row, dict):
            raise UserError(
                f"{path}, line {line}: expected a JSON object, but got {type(row).__name__}; write one object a "
                'line, as in {"text": "…", "label": "…"}.'
            )
        columns |= dict.fromkeys(row)
        rows.append(row)
        lines.append(line)
    return Table(path, list(columns), rows, lines)


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {next(name for name in names if names.count(name) > 1)!r} stands twice")
    return row


def _read_parquet(path: Path) -> Table:
    import pyarrow.parquet
    from datasets import Dataset
    from datasets.table import InMemoryTable
    from pyarrow import ArrowException

    try:
        dataset = Dataset(InMemoryTable(pyarrow.parquet.read_table(path)))
    except (ArrowException, OSError, ValueError) as error:
        raise UserError(f"{path} is no readable Parquet file ({_first_line(error)}); write it again.") from error
    return _from_dataset(path, dataset)


def _read_dataset_folder(path: Path) -> Table:
    import datasets

    if (path / "dataset_dict.json").exists():
        splits = sorted(p.name for p in path.iterdir() if (p / "state.json").exists())
        raise UserError(
            f"{path} holds several splits ({', '.join(splits)}); name them one by one in task.yaml, as in "
            f"data: {{train: {path / (splits[0] if splits else 'train')}, …}}."
        )
    if not (path / "state.json").exists():
        raise UserError(f"{path} is a folder, but none that `datasets` saved (no state.json); give a file, or {ENDINGS}.")
    try:
        dataset = datasets.load_from_disk(str(path))
    except Exception as error:  # datasets raises what Arrow, JSON or the file system raise
        raise UserError(f"{path} is no readable datasets folder ({_first_line(error)}); save it again.") from error
    return _from_dataset(path, dataset)


def _from_dataset(path: Path, dataset: Any) -> Table:
    """Rows of a `datasets.Dataset`, class ids replaced by their names."""
    names = {column: _class_names(feature) for column, feature in dataset.features.items()}
    rows = dataset.with_format(None).to_list()
    for column, known in names.items():
        if known is not None:
            for row in rows:
                row[column] = _named(row[column], known)
    return Table(str(path), list(dataset.column_names), rows, list(range(1, len(rows) + 1)), unit="row")


def _class_names(feature: Any) -> list[str] | None:
    names = getattr(feature, "names", None) or getattr(getattr(feature, "feature", None), "names", None)
    return list(names) if names else None


def _named(value: Any, names: list[str]) -> Any:
    if isinstance(value, list):
        return [_named(v, names) for v in value]
    # -1 is how datasets marks an unlabelled row
    return names[value] if isinstance(value, int) and 0 <= value < len(names) else None


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
