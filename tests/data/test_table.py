"""Reading data files: what is read, and which line a complaint names."""

from __future__ import annotations

import bz2
import json
import lzma
import re
from collections import Counter
from pathlib import Path

import pytest

from peftcost.data.builtin import builtin_table
from peftcost.data.readers import read_table
from peftcost.errors import UserError


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def refused(path: Path, *says: str) -> None:
    with pytest.raises(UserError) as caught:
        read_table(path)
    for words in (str(path), *says):
        assert words in str(caught.value)


def test_csv_with_quotes_line_breaks_and_a_byte_order_mark(tmp_path: Path) -> None:
    content = '\ufefftext,label\r\n"two\nlines, and ""quotes""",a\r\n\r\nplain,b\r\n"ünï ✓",c\r\n'
    table = read_table(write(tmp_path, "x.csv", content))
    assert table.columns == ["text", "label"]
    assert [row["text"] for row in table.rows] == ['two\nlines, and "quotes"', "plain", "ünï ✓"]
    assert table.lines == [2, 5, 6]
    assert table.place(1).endswith("x.csv, line 5")


def test_cells_longer_than_the_csv_module_allows(tmp_path: Path) -> None:
    long = "word " * 100_000
    assert read_table(write(tmp_path, "x.csv", f"text,label\n{long},a\n")).rows[0]["text"] == long


def test_tsv_keeps_commas(tmp_path: Path) -> None:
    table = read_table(write(tmp_path, "x.tsv", "text\tlabel\na, b\tc\n"))
    assert table.rows == [{"text": "a, b", "label": "c"}]


def test_json_lines_keep_types_and_lines(tmp_path: Path) -> None:
    content = '{"tokens": ["a", "b"], "tags": [0, 1]}\n\n{"tokens": ["c\\u2028d"], "tags": [true], "more": null}\n'
    table = read_table(write(tmp_path, "x.jsonl", content))
    assert table.columns == ["tokens", "tags", "more"]
    assert table.rows[1]["tokens"] == ["c\u2028d"]
    assert table.lines == [1, 3]


def test_parquet_and_saved_datasets_give_label_names(tmp_path: Path) -> None:
    from datasets import ClassLabel, Dataset, Features, Sequence, Value

    features = Features({"text": Value("string"), "label": ClassLabel(names=["bad", "good"])})
    dataset = Dataset.from_dict({"text": ["x", "y", "z"], "label": [1, 0, -1]}, features=features)
    dataset.to_parquet(tmp_path / "x.parquet")
    dataset.save_to_disk(tmp_path / "saved")
    for path in (tmp_path / "x.parquet", tmp_path / "saved"):
        table = read_table(path)
        assert [row["label"] for row in table.rows] == ["good", "bad", None]
        assert table.place(0) == f"{path}, row 1"

    tagged = Features({"tokens": Sequence(Value("string")), "tags": Sequence(ClassLabel(names=["O", "B-x"]))})
    Dataset.from_dict({"tokens": [["a", "b"]], "tags": [[0, 1]]}, features=tagged).to_parquet(tmp_path / "ner.parquet")
    assert read_table(tmp_path / "ner.parquet").rows == [{"tokens": ["a", "b"], "tags": ["O", "B-x"]}]


def test_a_folder_with_several_splits_says_to_name_one(tmp_path: Path) -> None:
    from datasets import Dataset, DatasetDict

    split = Dataset.from_dict({"text": ["x"], "label": ["y"]})
    DatasetDict({"train": split, "test": split}).save_to_disk(tmp_path / "saved")
    refused(tmp_path / "saved", "test, train", "data: {train:")
    assert read_table(tmp_path / "saved" / "train").rows == [{"text": "x", "label": "y"}]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("x.csv", "", ["empty"]),
        ("x.csv", "\ufeff\n \n", ["empty"]),
        ("x.csv", "text,label\n", ["header but no rows"]),
        ("x.csv", b"text,label\nok,a\n\xe9t\xe9,b\n", ["line 3", "0xe9", "UTF-8", "iconv"]),
        ("x.csv", "text,label\nok,a\n".encode("utf-16")[:-1], ["UTF-16"]),
        ("x.csv", "text,label\nok,a\nn\0ul,b\n", ["line 3", "NUL"]),
        ("x.csv", 'text,label\n"two\nlines",a\nx,y,z\n', ["line 4", "expected 2", "got 3"]),
        ("x.csv", "text,label\njust one\n", ["line 2", "expected 2", "got 1"]),
        ("x.csv", "text,label,text\na,b,c\n", ["line 1", "'text'", "columns 1 and 3"]),
        ("x.csv", 'text,label\nfine,a\n"never closed,b\nmore,c\n', ["line 3", "quotes"]),
        (
            "x.csv",
            "great soup,good\nbad soup,bad\nfine,good\n",
            ["line 1", "a header", "'good' stands in column 2 again", "text,label"],
        ),
        ("x.tsv", "1\tx y\n2\ty\n3\tz\n", ["line 1", "a header", "column 1 holds numbers"]),
        ("x.jsonl", '{"text": "a"}\n"text"\n', ["line 2", "got str"]),
        ("x.json", '[{"text": "a"},\n {"text": }]', ["line 2", "not JSON"]),
        ("x.json", '[{"text": "a"}\n {"text": "b"}]', ["line 2", "a comma"]),
        ("x.json", '{"text": {"0": "a"}, "label": {"0": "b"}}', ["line 1", "'text', 'label'", "orient='records'"]),
        ("x.conll", "Ann B-PER\nsaw O\nBob\n\nit O\n", ["line 3", "expected 2 parts", "got 1"]),
        ("x.csv.gz", b"\x1f\x8b broken", ["damaged .gz"]),
        ("x.arrow", "no arrow", ["Arrow"]),
        ("x.pkl", b"\x80\x04N.", ["may run code", "Parquet or JSON lines"]),
        ("x.xlsx", b"PK\x03\x04", ["workbook", "CSV UTF-8"]),
        ("x.jsonl", '{"text": "a"}\n{"text": \n', ["line 2", "not JSON"]),
        ("x.jsonl", '{"text": "a"}\n["text"]\n', ["line 2", "got list"]),
        ("x.jsonl", '{"text": "a", "text": "b"}\n', ["line 1", "'text' stands twice"]),
        ("x.jsonl", "[" * 100_000, ["line 1", "not JSON"]),
        ("x.parquet", "no parquet at all", ["Parquet"]),
        ("x.docx", "text", ["'.docx'", "document", ".csv"]),
        ("x.md", "text", ["'.md'", "JSON lines"]),
    ],
)
def test_files_that_cannot_be_read(tmp_path: Path, name: str, content: str | bytes, says: list[str]) -> None:
    refused(write(tmp_path, name, content), *says)


@pytest.mark.parametrize(
    ("begins", "says"),
    [
        (b"PK\x03\x04" + b"\0" * 40, "a workbook or an archive"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", "is a workbook"),
        (bz2.compress(b"text,label\n" * 9), "bzip2; unpack it"),
        (lzma.compress(b"text,label\n" * 9), "xz; unpack it"),
        (b"\x28\xb5\x2f\xfd\x04\x00", "zstd; unpack it"),
        (b"SQLite format 3\0", "is a database"),
    ],
)
def test_another_format_under_the_ending_of_a_table_is_named(tmp_path: Path, begins: bytes, says: str) -> None:
    for name in ("x.csv", "x.jsonl"):
        refused(write(tmp_path, name, begins), says)


@pytest.mark.parametrize("name", ["x.txt", "x.csv", "x.tsv"])
def test_json_is_read_whatever_the_ending(tmp_path: Path, name: str) -> None:
    rows = [{"text": f'a "text", {i}', "label": "ab"[i % 2]} for i in range(4)]
    for content in ("\n".join(map(json.dumps, rows)), json.dumps(rows, indent=1)):
        assert read_table(write(tmp_path, name, content)).rows == rows


def test_splits_in_one_file_are_told_apart(tmp_path: Path) -> None:
    rows = [{"text": "a", "label": "b"}]
    refused(write(tmp_path, "x.json", json.dumps({"train": rows, "test": rows})), "holds several splits (train, test)")


@pytest.mark.parametrize("rule", ["|---|:--:|", "------+------"])
def test_a_rule_below_the_header_is_no_row(tmp_path: Path, rule: str) -> None:
    table = read_table(write(tmp_path, "x.txt", f"|text|label|\n{rule}\n|a b|x|\n|c d|y|\n"))
    assert [(row["text"], row["label"]) for row in table.rows] == [("a b", "x"), ("c d", "y")]
    assert "line 2 is a rule below the header" in " ".join(table.notes)


def test_a_separator_that_is_not_known_is_told_with_those_that_are(tmp_path: Path) -> None:
    said = "expected 1 cell as in the header ('text^label'), but got 2; divide columns by commas, semicolons, tabs or bars"
    refused(write(tmp_path, "x.csv", "text^label\na, b^x\nc^y\n"), said)


def test_a_folder_of_texts_is_refused_with_what_to_write(tmp_path: Path) -> None:
    (tmp_path / "train" / "pos").mkdir(parents=True)
    (tmp_path / "train" / "pos" / "0_7.txt").write_text("A joy.")
    refused(tmp_path, "holds a file for each text (train/pos/0_7.txt, …); write them into one table")


@pytest.mark.parametrize("again", ["text,label", "\ufefftext,label", '\ufeff"text","label"', "Text,Label"])
def test_a_header_of_a_file_put_behind_another_is_no_row(tmp_path: Path, again: str) -> None:
    table = read_table(write(tmp_path, "x.csv", f"\ufeff\ufefftext,label\na b,x\nc d,y\n{again}\ne f,x\n"))
    assert (table.columns, [row["text"] for row in table.rows]) == (["text", "label"], ["a b", "c d", "e f"])
    assert "line 4 repeats the header" in " ".join(table.notes)


def test_missing_file_and_plain_folder(tmp_path: Path) -> None:
    refused(tmp_path / "gone.csv", "no data file")
    refused(tmp_path, "is an empty folder")
    (tmp_path / "notes.md").write_text("x")
    refused(tmp_path, "state.json")


def test_damaged_saved_dataset(tmp_path: Path) -> None:
    from datasets import Dataset

    Dataset.from_dict({"text": ["x"]}).save_to_disk(tmp_path / "saved")
    next((tmp_path / "saved").glob("*.arrow")).write_bytes(b"broken")
    refused(tmp_path / "saved", "save it again")


def test_each_message_is_one_sentence_about_one_place(tmp_path: Path) -> None:
    path = write(tmp_path, "x.jsonl", "\n".join([json.dumps({"text": "a"})] * 5 + ["{"]))
    with pytest.raises(UserError) as caught:
        read_table(path)
    assert len(re.findall(r"line \d+:", str(caught.value))) == 1
    assert "\n" not in str(caught.value)


def test_opinions_are_tweets_that_all_call_positive_or_negative() -> None:
    table = builtin_table("builtin:opinions")
    assert Counter(row["sentiment"] for row in table.rows) == {"negative": 10181, "positive": 2155}
    assert {float(row["confidence"]) for row in table.rows} == {1.0}
