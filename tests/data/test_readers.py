"""One format each: what is read out of it, and what of that is told."""

from __future__ import annotations

import gzip
import io
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from reading import read

from peftcost.data.readers import read_table
from peftcost.errors import UserError
from peftcost.task.columns import guess_columns

ROWS = [
    {"text": "good, and cheap", "label": "yes"},
    {"text": "two\nlines", "label": "no"},
    {"text": 'a "word"', "label": "yes"},
]
QUOTED = ['"good, and cheap"', '"two\nlines"', '"a ""word"""']


def test_the_separator_is_found_though_long_cells_end_behind_what_is_looked_at(tmp_path: Path) -> None:
    mail = "\n".join(f"line {i}, with a comma" for i in range(60))
    table = read(tmp_path, "mails.csv", "text;label\n" + f'"{mail}";spam\n' * 12)
    assert table.columns == ["text", "label"] and len(table.rows) == 12
    assert table.rows[11] == {"text": mail, "label": "spam"}


def delimited(separator: str) -> str:
    return f"text{separator}label\n" + "".join(f"{q}{separator}{r['label']}\n" for q, r in zip(QUOTED, ROWS, strict=True))


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("ending", [".csv", ".tsv", ".txt"])
def test_the_separator_is_found(tmp_path: Path, separator: str, ending: str) -> None:
    assert read(tmp_path, f"x{ending}", delimited(separator)).rows == ROWS


def test_another_separator_than_the_ending_says_is_told(tmp_path: Path) -> None:
    assert "semicolons" in " ".join(read(tmp_path, "x.csv", "text;score\na;1,5\nb;2,5\n").notes)
    assert not read(tmp_path, "y.csv", "text,score\na;b,1\nc,2\n").notes


def test_excels_sep_line_names_the_separator_and_counts_as_a_line(tmp_path: Path) -> None:
    table = read(tmp_path, "x.csv", "\ufeffsep=;\r\ntext;label\r\nfoo, bar;a\r\nbaz;b\r\n")
    assert table.rows == [{"text": "foo, bar", "label": "a"}, {"text": "baz", "label": "b"}]
    assert table.lines == [3, 4]
    assert read(tmp_path, "y.csv", '"sep=^"\ntext^label\nfoo^a\n').rows == [{"text": "foo", "label": "a"}]


def test_spaces_behind_separators_belong_to_no_name_and_no_quote(tmp_path: Path) -> None:
    table = read(tmp_path, "x.csv", 'text, label\n"one, two", a\nthree, "b"\n')
    assert table.rows == [{"text": "one, two", "label": "a"}, {"text": "three", "label": "b"}]


def test_a_column_without_a_name_is_called_after_its_place(tmp_path: Path) -> None:
    assert read(tmp_path, "x.csv", ",text,label\n0,a,b\n1,c,d\n").columns == ["column 1", "text", "label"]


def test_numbered_columns_are_a_header(tmp_path: Path) -> None:
    assert read(tmp_path, "x.csv", "0,1\na text,1\nanother,0\n").columns == ["0", "1"]


def test_blank_lines_are_cells_of_one_column_and_nothing_else(tmp_path: Path) -> None:
    assert [row["text"] for row in read(tmp_path, "x.csv", "text\na\n\nb\n\n\n").rows] == ["a", "", "b"]
    assert read(tmp_path, "y.csv", "text,label\n\na,x\n\nb,y\n\n").lines == [3, 5]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("ending", [".csv", ".csv.gz"])
def test_encodings_and_packing(tmp_path: Path, encoding: str, ending: str) -> None:
    raw = "text,label\nein schönes Ding,a\n".encode(encoding)
    table = read(tmp_path, f"x{ending}", gzip.compress(raw) if ending.endswith(".gz") else raw)
    assert table.rows == [{"text": "ein schönes Ding", "label": "a"}]


@pytest.mark.parametrize(
    "content",
    [
        json.dumps(ROWS),
        json.dumps(ROWS, indent=2),
        "\n".join(map(json.dumps, ROWS)),
        json.dumps({"version": 2, "data": ROWS}, indent=1),
    ],
)
@pytest.mark.parametrize("ending", [".json", ""])
def test_json_in_its_shapes(tmp_path: Path, content: str, ending: str) -> None:
    if ending or "version" not in content:
        assert read(tmp_path, f"x{ending}", content).rows == ROWS


CHAT = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "tool_calls": []}]}


@pytest.mark.parametrize(
    ("ending", "row", "indent"),
    [
        ("", CHAT, None),
        (".json", CHAT, None),
        (".json", {"id": 1, **CHAT}, 1),
        ("", {"conversations": [{"from": "human", "value": "Hi"}]}, None),
        ("", {"tokens": ["John", "lives"]}, None),
        (".ndjson", {"tokens": ["John", "lives"]}, None),
        ("", {"text": "Hi Ann", "spans": [{"start": 3}]}, None),
    ],
)
def test_one_row_as_json_is_a_row(tmp_path: Path, ending: str, row: dict[str, Any], indent: int | None) -> None:
    assert read(tmp_path, f"x{ending}", json.dumps(row, indent=indent)).rows == [row]


def test_rows_of_nothing_are_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has rows of nothing"):
        read(tmp_path, "x.jsonl", "{}\n{}\n")


TURNS = [CHAT["messages"], [{"from": "human", "value": "So?"}, {"from": "gpt", "value": "Yes"}]]


@pytest.mark.parametrize(
    ("name", "content", "rows"),
    [
        ("x.jsonl", "\n".join(map(json.dumps, TURNS)), 2),
        ("x.jsonl", json.dumps(TURNS[0]) + "\n", 1),
        ("x.json", json.dumps(TURNS), 2),
        ("x", json.dumps(TURNS, indent=1), 2),
    ],
)
def test_arrays_of_turns_are_the_messages_of_a_row(tmp_path: Path, name: str, content: str, rows: int) -> None:
    table = read(tmp_path, name, content)
    assert table.rows == [{"messages": turns} for turns in TURNS[:rows]]
    assert f"'messages' of a row, in {rows} rows" in table.notes[0]


def test_rows_in_the_only_field_of_a_line_are_rows(tmp_path: Path) -> None:
    assert read(tmp_path, "x", json.dumps({"data": ROWS})).rows == ROWS


def test_a_json_array_knows_the_lines_of_its_objects(tmp_path: Path) -> None:
    assert read(tmp_path, "x.json", '[\n  {"text": "a"},\n\n  {\n"text": "b"}\n]\n').lines == [2, 4]


def test_arrow_files_and_streams(tmp_path: Path) -> None:
    import pyarrow
    from datasets import ClassLabel, Dataset, Features, Value

    table = pyarrow.table({"text": ["a", "b"], "label": [1, 0]})
    for name, new in (("x.feather", pyarrow.ipc.new_file), ("x.arrow", pyarrow.ipc.new_stream)):
        sink = io.BytesIO()
        with new(sink, table.schema) as writer:
            writer.write_table(table)
        assert read(tmp_path, name, sink.getvalue()).rows == [{"text": "a", "label": 1}, {"text": "b", "label": 0}]
    named = Features({"text": Value("string"), "label": ClassLabel(names=["bad", "good"])})
    Dataset.from_dict({"text": ["a"], "label": [1]}, features=named).save_to_disk(tmp_path / "saved")
    arrow = next((tmp_path / "saved").glob("*.arrow"))
    assert read_table(arrow).rows == [{"text": "a", "label": "good"}]


@pytest.mark.parametrize(
    ("written", "held"),
    [
        ("['B-PER', 'O']", ["B-PER", "O"]),
        ('["B-PER", "O"]', ["B-PER", "O"]),
        ("['B-PER' 'O']", ["B-PER", "O"]),
        ("['B-PER'\n 'O']", ["B-PER", "O"]),
        ("('B-PER', 'O')", ["B-PER", "O"]),
        ("[B-PER, O]", ["B-PER", "O"]),
        ("""['it\\'s', "O"]""", ["it's", "O"]),
        ("[0, 1]", [0, 1]),
        ('[{"role": "user", "content": "hi"}]', [{"role": "user", "content": "hi"}]),
    ],
)
def test_lists_written_as_text(tmp_path: Path, written: str, held: list[Any]) -> None:
    quoted = '"' + written.replace('"', '""') + '"'
    assert read(tmp_path, "x.csv", f"id,tags\n1,{quoted}\n2,{quoted}\n").rows[1]["tags"] == held


def test_texts_in_brackets_are_no_lists(tmp_path: Path) -> None:
    rows = read(tmp_path, "x.csv", "text,label\n[deleted],a\n[see below] it goes on,b\n").rows
    assert rows[0]["text"] == "[deleted]"


PLAIN = [f"text {i} of many\t{'good' if i % 2 else 'bad'}" for i in range(40)]


def with_quotes(lines: list[str]) -> list[str]:
    lines = list(lines)
    lines[10] = '"' + lines[10]
    lines[16] = lines[16].replace("\t", '"\t')
    return ["text\tlabel", *lines]


def test_a_tsv_without_quoting_keeps_all_rows(tmp_path: Path) -> None:
    table = read(tmp_path, "x.tsv", "\n".join(with_quotes(PLAIN)))
    assert len(table.rows) == 40
    assert table.rows[10]["text"] == '"text 10 of many'
    assert "line 12" in table.notes[0]


@pytest.mark.parametrize("separator", [",", ";"])
def test_a_quoted_cell_that_swallows_rows_is_named(tmp_path: Path, separator: str) -> None:
    content = "\n".join(with_quotes(PLAIN)).replace("\t", separator)
    with pytest.raises(UserError, match="line 12: a quote opens a cell that goes on to line 18"):
        read(tmp_path, "x.csv", content)
    kept = read(tmp_path, "x.csv", content, skip=True)
    assert (len(kept.rows), len(kept.rejected)) == (38, 2)


def test_a_swallowing_cell_in_a_file_to_predict(tmp_path: Path) -> None:
    texts = [line.split("\t")[0] for line in PLAIN]
    texts[10], texts[16] = '"' + texts[10], texts[16] + '"'
    with pytest.raises(UserError, match="line 12"):
        read(tmp_path, "x.csv", "text\n" + "\n".join(texts))
    with pytest.raises(UserError, match="line 12"):
        read(tmp_path, "y.csv", "id,text\n" + "\n".join(f"{i},{text}" for i, text in enumerate(texts)))


def test_line_breaks_that_belong_to_a_text_are_kept_and_told(tmp_path: Path) -> None:
    rows = "".join(f'"Hello, world {i}\nsee you",good\nplain {i},bad\n' for i in range(5))
    table = read(tmp_path, "x.csv", "text,label\n" + rows)
    assert table.rows[0] == {"text": "Hello, world 0\nsee you", "label": "good"}
    assert "5 of 10 rows hold line breaks" in table.notes[0]


@pytest.mark.parametrize(
    ("name", "content", "rows", "told"),
    [
        ("x.csv", "text,label\na,b\na,b,c\nc,d\n", 2, ["line 3"]),
        ("x.csv", 'text,label\na,b\n"open,b\nc,d\n', 2, ["line 3"]),
        ("x.csv", b"text,label\na,b\n\xe9,b\nn\0,d\ne,f\n", 2, ["line 3", "line 4"]),
        ("x.jsonl", '{"text": "a"}\n{"text"\n["b"]\n{"text": "c"}\n', 2, ["line 2", "line 3"]),
        ("x.json", '[{"text": "a"},\n3,\n{"text": "c"}]', 2, ["line 2"]),
        ("x.conll", "Ann B-PER\n\nBob\nleft O\n\nEve B-PER\nis O\n", 2, ["line 3"]),
    ],
)
def test_bad_rows_are_told_when_they_are_skipped(
    tmp_path: Path, name: str, content: str | bytes, rows: int, told: list[str]
) -> None:
    table = read(tmp_path, name, content, skip=True)
    assert len(table.rows) == rows
    assert len(table.rejected) == len(told)
    assert all(place in problem for place, problem in zip(told, table.rejected, strict=True))


def test_standard_input_shows_its_format(monkeypatch: pytest.MonkeyPatch) -> None:
    for content in (delimited("\t"), delimited(","), json.dumps(ROWS), "\n".join(map(json.dumps, ROWS))):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content.encode())))
        assert read_table("-").rows == ROWS


def test_a_title_above_the_header_and_an_early_odd_line_of_a_conll_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="line 1: 'My reviews' stands above the columns' names .line 2.; remove it"):
        read(tmp_path, "x.csv", "My reviews\ntext,label\n" + "".join(f"a text {i},good\n" for i in range(9)))
    words = "Ann B-PER\nleft O\n\n" * 9
    with pytest.raises(UserError, match="line 1: expected 2 parts as in the other lines, but got 3"):
        read(tmp_path, "x.txt", words.replace("Ann ", "Ann Lee ", 1))


@pytest.mark.parametrize(
    ("title", "header", "says"),
    [
        ("My reviews, May", "text,label", "'My reviews, May' stands above the columns' names .line 2.; remove it"),
        ("My reviews, May\n", "text,label", "'My reviews, May' stands above the columns' names .line 3.; remove it"),
        ("My reviews,,", "text,label,id", "'My reviews' stands above the columns' names .line 2.; remove it"),
        ("My reviews, May", "text,label,id", "'My reviews, May' stands above the columns' names"),
        ("My reviews, May", "body,grade,id", "'My reviews, May' is 2 cells where a header should be, and all rows have 3"),
        ("My reviews\n", "body,grade", "'My reviews' is one cell where a header should be, and all rows have 2"),
        ("My reviews\nof May", "body,grade", "'My reviews' is one cell .*, and all rows from line 3 on have 2"),
    ],
)
def test_a_title_is_named_whatever_it_holds(tmp_path: Path, title: str, header: str, says: str) -> None:
    rows = "".join(",".join([f"a text {i}", "good", str(i)][: header.count(",") + 1]) + "\n" for i in range(9))
    with pytest.raises(UserError, match=f"line 1: {says}"):
        read(tmp_path, "x.csv", f"{title}\n{header}\n{rows}")
    assert len(read(tmp_path, "x.csv", f"{header}\n\n{rows}").rows) == 9


def test_an_early_number_among_texts_leaves_the_column_its_role(tmp_path: Path) -> None:
    rows = [json.dumps({"text": 5 if i == 3 else f"text {i}", "label": "ab"[i % 2]}) for i in range(20)]
    kind, columns = guess_columns(table := read(tmp_path, "x.jsonl", "\n".join(rows)), None)
    with pytest.raises(UserError, match="line 4, column 'text': expected a text, but got 5"):
        kind.read(table, columns)


@pytest.mark.parametrize("name", ["x.txt", "x.csv", "x.ft", "x"])
def test_fasttexts_lines_are_read(name: str, tmp_path: Path) -> None:
    table = read(tmp_path, name, "__label__good would, buy again\n\n__label__bad , broke\n")
    assert table.rows == [{"text": "would, buy again", "label": "good"}, {"text": "broke", "label": "bad"}]
    assert table.lines == [1, 3]
    several = read(tmp_path, name, "__label__rude __label__late go away\n__label__late no news\n")
    assert [row["labels"] for row in several.rows] == [["rude", "late"], ["late"]]
    assert guess_columns(several, None)[0].name == "multi-label"
    with pytest.raises(UserError, match="line 2: begins with no label and a text"):
        read(tmp_path, name, "__label__good would buy\nbroke\n")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("Ann/B-PER left/O York{}/B-LOC", r"has tags behind its words \('Ann/B-PER'\); write its words and a tag for each"),
        ("Ann_NNP left_VBD York{}_NNP", r"has tags behind its words \('Ann_NNP'\); write its words and a tag for each"),
        ("<PER>Ann</PER> left, {}", r"marks its words by '<PER>Ann</PER>'; write its words and a tag for each"),
    ],
)
def test_tags_within_texts_are_refused_or_told_with_the_shape_that_is_read(line: str, told: str, tmp_path: Path) -> None:
    lines = "".join(line.format(i) + "\n" for i in range(30))
    with pytest.raises(UserError, match=f"x.txt, line 1: {told}"):
        read(tmp_path, "x.txt", lines)
    texts = read(tmp_path, "x.csv", 'text\n"' + lines.strip().replace("\n", '"\n"') + '"\n')
    kind, columns = guess_columns(texts, None)
    assert kind.name == "causal-lm" and re.search(told, kind.otherwise(texts, columns) or "")


def test_labels_before_a_colon_are_refused_with_what_to_write(tmp_path: Path) -> None:
    lines = "".join(f"{'good' if i % 2 else 'bad'}: text, number {i}\n" for i in range(30))
    with pytest.raises(UserError, match=r"line 1: begins with a label and a colon \('bad:'\).*label<tab>text"):
        read(tmp_path, "x.txt", lines)
    assert len(read(tmp_path, "x.csv", 'text\n"' + lines.strip().replace("\n", '"\n"') + '"\n').rows) == 30
