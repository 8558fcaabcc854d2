"""Damaged files: a UserError or rows, never anything else; and no row vanishes without being told."""

from __future__ import annotations

import gzip
import io
import json
import os
from functools import cache

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from peftcost.data.readers import readers
from peftcost.data.readers.base import Source
from peftcost.data.readers.delimited import parse_delimited
from peftcost.data.readers.json_lines import parse_json_lines
from peftcost.data.table import Rejects
from peftcost.errors import UserError

QUICK = settings(max_examples=80, deadline=5000, suppress_health_check=[HealthCheck.too_slow])
THOUSANDS = settings(QUICK, max_examples=3000)
TEXT_READERS = ("CSV or TSV", "JSON lines or a JSON array", "CoNLL", "fastText")
PIECES = [
    *(
        '"',
        '""',
        ",",
        "\t",
        ";",
        "|",
        "\n",
        "\r",
        "\r\n",
        "\n\n",
        "sep=;",
        "text",
        "label",
        "a b",
        "'",
        "[",
        "]",
        "{",
        "}",
        ":",
    ),
    *(
        "O",
        "B-PER",
        "#",
        "-DOCSTART-",
        "\0",
        "\ufeff",
        "1.0",
        "nan",
        "\u2028",
        "é",
        '{"text": "a"}',
        "[1, 2]",
        "\\",
        "\\ud83d",
        " ",
    ),
]
PLACES = ["", "text,label\n", "text\tlabel\n", "text\n", "[", '{"text": "a"}\n', "w O\n\n"]
texts = st.builds(
    lambda head, parts: head + "".join(parts), st.sampled_from(PLACES), st.lists(st.sampled_from(PIECES), max_size=40)
)
noise = st.builds(lambda text, junk: text.encode("utf-8", "surrogatepass") + junk, texts, st.binary(max_size=8))


@cache
def whole_files() -> dict[str, bytes]:
    table = pyarrow.table({"text": ["a", "b"] * 9, "label": [1, 0] * 9, "tags": [["O"], ["B-x"]] * 9})
    parquet, arrow, stream = io.BytesIO(), io.BytesIO(), io.BytesIO()
    pyarrow.parquet.write_table(table, parquet)
    for sink, new in ((arrow, pyarrow.ipc.new_file), (stream, pyarrow.ipc.new_stream)):
        with new(sink, table.schema) as writer:
            writer.write_table(table)
    return {".parquet": parquet.getvalue(), ".arrow": arrow.getvalue(), ".feather": stream.getvalue()}


def reads_or_refuses(reader: str, raw: bytes, skip: bool) -> None:
    source = Source("file", "", raw)
    try:
        table = readers()[reader].read(source, Rejects(skip))
    except UserError as error:
        assert "file" in str(error)
        assert "\n" not in str(error).replace("\\n", "")
        return
    assert len(table.rows) == len(table.lines)
    assert table.lines == sorted(set(table.lines))


@pytest.mark.parametrize("reader", TEXT_READERS)
@given(raw=noise, skip=st.booleans())
@QUICK
def test_damaged_text(reader: str, raw: bytes, skip: bool) -> None:
    reads_or_refuses(reader, raw, skip)


@pytest.mark.slow
@pytest.mark.parametrize("reader", TEXT_READERS)
@given(raw=noise, skip=st.booleans())
@THOUSANDS
def test_damaged_text_by_the_thousand(reader: str, raw: bytes, skip: bool) -> None:
    reads_or_refuses(reader, raw, skip)


changes = st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=6)


def damaged(raw: bytes, at: list[tuple[int, int]], cut: int) -> bytes:
    changed = bytearray(raw)
    for place, byte in at:
        changed[place % len(changed)] = byte
    return bytes(changed[: len(changed) - cut % 40])


@pytest.mark.parametrize(("reader", "ending"), [("Parquet", ".parquet"), ("Arrow", ".arrow"), ("Arrow", ".feather")])
@given(at=changes, cut=st.integers(0, 10**6))
@QUICK
def test_damaged_columns(reader: str, ending: str, at: list[tuple[int, int]], cut: int) -> None:
    reads_or_refuses(reader, damaged(whole_files()[ending], at, cut), skip=False)


plain_cells = st.text(
    st.characters(codec="utf-8", exclude_characters='\0"\r\n,\t|;\x1e\ufeff', exclude_categories=["Cs", "Zl", "Zp"]),
    min_size=1,
)
rows_of_cells = st.lists(st.lists(plain_cells.filter(lambda c: c.strip()), min_size=1, max_size=4), min_size=1, max_size=12)


def every_line_is_used_or_told(rows: list[list[str]], separator: str) -> None:
    """The header has two cells; a line of another number is bad."""
    text = separator.join(("text column", "label column")) + "\n" + "\n".join(separator.join(row) for row in rows)
    reject = Rejects(skip=True)
    try:
        table = parse_delimited("x", text, separator, reject)
    except UserError as error:
        assert "where a header should be" in str(error) or "separated" in str(error)
        return
    assert len(table.rows) + len(reject.told) == len(rows)


@given(rows=rows_of_cells, separator=st.sampled_from(",\t;|"))
@QUICK
def test_rows_in_are_rows_used_and_rows_told(rows: list[list[str]], separator: str) -> None:
    every_line_is_used_or_told(rows, separator)


@pytest.mark.slow
@given(rows=rows_of_cells, separator=st.sampled_from(",\t;|"))
@THOUSANDS
def test_rows_in_are_rows_used_and_rows_told_by_the_thousand(rows: list[list[str]], separator: str) -> None:
    every_line_is_used_or_told(rows, separator)


@given(
    lines=st.lists(
        st.sampled_from(['{"a": 1}', "[1]", "{", '{"a": 1, "a": 2}', '"x"', "null", '{"b": "\\ud800"}']), min_size=1
    )
)
@QUICK
def test_json_lines_in_are_rows_used_and_rows_told(lines: list[str]) -> None:
    reject = Rejects(skip=True)
    assert len(parse_json_lines("x", "\n".join(lines), reject).rows) + len(reject.told) == len(lines)


def test_many_broken_quotes_end_soon() -> None:
    text = "text,label\n" + '"a"b,c\n' * 20_000
    reject = Rejects(skip=True)
    parse_delimited("x", text, ",", reject)
    assert "the rest of the file" in reject.told[-1]


def test_damaged_gzip(tmp_path: os.PathLike[str]) -> None:
    from pathlib import Path

    from peftcost.data.readers import read_table

    whole = gzip.compress(json.dumps([{"text": "a"}] * 50).encode())
    path = Path(tmp_path, "x.json.gz")
    for cut in range(1, len(whole) - 2):
        path.write_bytes(whole[:-cut])
        with pytest.raises(UserError, match="damaged"):
            read_table(path)
