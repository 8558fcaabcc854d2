"""Columns as people have them: lists as other programs write them, decimal commas, an odd cell, a header that comes again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from peftcost.data.cells import list_from_text, number_of, time_of
from peftcost.data.in_memory import file_of
from peftcost.data.readers import read_table
from peftcost.data.table import Table
from peftcost.errors import UserError
from peftcost.task.columns import guess_columns
from peftcost.task.draft import draft_task_yaml
from peftcost.task.given import given_task
from peftcost.task.splits import load_task_data
from peftcost.task.task import Task, load_task


def written(folder: Path, text: str, name: str = "data.csv") -> Table:
    (folder / name).write_text(text, encoding="utf-8")
    return read_table(folder / name)


def read(table: Table, label: str | None = None) -> tuple[str, list[dict[str, Any]]]:
    kind, columns = guess_columns(table, label)
    return kind.name, list(kind.read(table, columns))


def test_numpys_lists_are_lists(tmp_path: Path) -> None:
    rows = "".join(f"\"['EU' 'rejects' 'call{i}']\",[3 0 0]\n" for i in range(4))
    table = written(tmp_path, "tokens,tags\n" + rows)
    assert table.rows[0] == {"tokens": ["EU", "rejects", "call0"], "tags": [3, 0, 0]}
    turns = "[{'role': 'user', 'content': 'Hi'}\n {'role': 'assistant', 'content': 'Ho'}]"
    assert [turn["role"] for turn in list_from_text(turns) or []] == ["user", "assistant"]
    assert list_from_text("[0. 1.\n 0.5]") == [0.0, 1.0, 0.5]


def test_a_list_of_one_without_quotes_is_one_beside_others(tmp_path: Path) -> None:
    table = written(tmp_path, 'text,genres\na b,[action]\nc d,"[action, drama]"\ne f,"[science fiction, drama]"\n')
    assert [row["genres"] for row in table.rows] == [["action"], ["action", "drama"], ["science fiction", "drama"]]
    alone = written(tmp_path, "text,label\n[laughs],good\n[sighs],bad\n")
    assert [row["text"] for row in alone.rows] == ["[laughs]", "[sighs]"], "nothing shows that these are lists"


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_one_broken_list_is_named_by_its_row(tmp_path: Path, ending: str) -> None:
    cells = [str(["a", "b"][: 1 + i % 2]) for i in range(60)]
    cells[30] = "['a', 'b'"
    if ending == "csv":
        text = "text,labels\n" + "".join(f'some text {i},"{cell}"\n' for i, cell in enumerate(cells))
    else:
        text = "".join(json.dumps({"text": f"some text {i}", "labels": cell}) + "\n" for i, cell in enumerate(cells))
    table = written(tmp_path, text, f"data.{ending}")
    assert table.rows[1]["labels"] == ["a", "b"]
    assert guess_columns(table, None)[0].name == "multi-label"
    with pytest.raises(UserError, match=r"line 3[12], column 'labels': begins as a list does"):
        read(table)


def test_lists_written_as_texts_in_json_lines_are_labels_if_the_column_is_said_to_hold_them(tmp_path: Path) -> None:
    rows = [json.dumps({"review": f"some text {i}", "genres": str(["a", "b"][: 1 + i % 2])}) for i in range(6)]
    name, examples = read(written(tmp_path, "\n".join(rows), "data.jsonl"), "genres")
    assert name == "multi-label" and examples[1]["labels"] == ["a", "b"]


def test_a_completion_that_reads_as_a_list_stays_a_text(tmp_path: Path) -> None:
    rows = [json.dumps({"prompt": f"Sort 3 1 {i}.", "completion": f"[1, 3, {i}]"}) for i in range(4, 8)]
    table = written(tmp_path, "\n".join(rows), "data.jsonl")
    assert table.rows[0]["completion"] == "[1, 3, 4]"


def test_one_cell_that_is_no_number_is_named_by_its_row(tmp_path: Path) -> None:
    scores = [f"{i / 10}" for i in range(40)]
    scores[7] = "NA"
    table = written(tmp_path, "text,score\n" + "".join(f"some text {i},{s}\n" for i, s in enumerate(scores)))
    assert guess_columns(table, "score")[0].name == "regression"
    with pytest.raises(UserError, match="line 9, column 'score': expected a number, but got 'NA'"):
        read(table, "score")


def test_decimal_commas_are_numbers(tmp_path: Path) -> None:
    table = written(tmp_path, "text;score\n" + "".join(f"Satz {i};{i},5\n" for i in range(6)) + ";\n;\n")
    name, examples = read(table, "score")
    assert name == "regression" and [e["value"] for e in examples] == [0.5, 1.5, 2.5, 3.5, 4.5, 5.5]
    assert "decimal commas" in " ".join(table.notes)


def test_decimal_commas_beside_tabs_are_told_from_numbered_labels(tmp_path: Path) -> None:
    labels = written(tmp_path, "text\tlabels\n" + "".join(f"text {i}\t{c}\n" for i, c in enumerate(["27", "3,20", "5,2"])))
    assert [row["labels"] for row in labels.rows] == ["27", "3,20", "5,2"]
    scores = written(tmp_path, "text\tscore\n" + "".join(f"text {i}\t{c}\n" for i, c in enumerate(["4", "3,25", "2,05"])))
    assert [row["score"] for row in scores.rows] == ["4", "3.25", "2.05"]


POINTS = [f"{i % 50 / 10:.1f}" for i in range(80)]
COMMAS = [text.replace(".", ",") for text in POINTS]
AMERICAN = [f"{1000 + i * 37.5:,.2f}" for i in range(80)]
GERMAN = [text.translate(str.maketrans(",.", ".,")) for text in AMERICAN]


def scores(folder: Path, cells: list[str], odd: str | None, separator: str = ";") -> Table:
    cells = [odd if odd is not None and i == 40 else cell for i, cell in enumerate(cells)]
    quote = '"' if separator == "," else ""
    rows = "".join(f"some text {i}{separator}{quote}{cell}{quote}\n" for i, cell in enumerate(cells))
    return written(folder, f"text{separator}score\n{rows}")


@pytest.mark.parametrize("separator", [";", ",", "\t"])
@pytest.mark.parametrize(
    ("cells", "odd", "says"),
    [
        (COMMAS, "n/a", "expected a number, but got 'n/a'"),
        (COMMAS, "3.5", "expected a number with a decimal comma as in most rows, but got '3.5'"),
        (COMMAS, "1,5,2", "expected a number, but got '1,5,2'"),
        (COMMAS, "1.234", "'1.234' may be 1234 or 1.234"),
        (POINTS, "3,5", "expected a number with a decimal point as in most rows, but got '3,5'"),
        (POINTS, "1,234", "'1,234' may be 1234 or 1.234"),
        (AMERICAN, "2.500,00", "decimal point as in most rows, but got '2.500,00'"),
        (GERMAN, "2,500.00", "decimal comma as in most rows, but got '2,500.00'"),
        (GERMAN, "3.5", "decimal comma as in most rows, but got '3.5'"),
    ],
)
def test_a_number_written_in_another_way_is_named(
    tmp_path: Path, cells: list[str], odd: str, says: str, separator: str
) -> None:
    with pytest.raises(UserError, match=rf"line 42, column 'score': .*{says}"):
        read(scores(tmp_path, cells, odd, separator), "score")


@pytest.mark.parametrize("separator", [";", ","])
@pytest.mark.parametrize(("cells", "odd"), [(AMERICAN, "2,500"), (GERMAN, "2.500"), (GERMAN, "2500"), (AMERICAN, "2500.0")])
def test_signs_between_thousands_are_read(tmp_path: Path, cells: list[str], odd: str, separator: str) -> None:
    name, examples = read(scores(tmp_path, cells, odd, separator), "score")
    assert (name, [e["value"] for e in examples]) == ("regression", [1000 + i * 37.5 for i in range(80)])


def test_numbers_with_three_decimals_are_read_as_before_and_refused_beside_small_whole_ones(tmp_path: Path) -> None:
    cells = [f"{1 + i / 8:.3f}" for i in range(20)]
    assert read(scores(tmp_path, cells, None), "score")[1][1]["value"] == 1.125
    with pytest.raises(UserError, match=r"'1.000' may be 1000 or 1.000"):
        read(scores(tmp_path, [*cells, "950"], None), "score")


@pytest.mark.parametrize("column", ["label", "score"])
@pytest.mark.parametrize("cells", [["1,250", "2,250"], ["1,250", "950", "875"], ["1.250", "3", "4"]])
def test_a_doubtful_number_is_no_class_unless_the_task_says_so(tmp_path: Path, cells: list[str], column: str) -> None:
    written(tmp_path, f"text,{column}\n" + "".join(f'some text {i},"{cells[i % len(cells)]}"\n' for i in range(40)))
    with pytest.raises(UserError, match=r"line 2, column .*'1.250' may be 1250 or 1.250.* or, to learn them as cl") as raised:
        draft_task_yaml(tmp_path / "data.csv")
    task, columns = str(raised.value).split("`")[1::2]
    (tmp_path / "task.yaml").write_text(f"model: builtin:minilm\n{task}\ndata: data.csv\n{columns}\n")
    assert len(load_task_data(load_task(tmp_path / "task.yaml"), 0).targets) == len(cells)


@pytest.mark.parametrize(
    ("column", "cells", "task"),
    [
        ("score", [f"{i % 26 / 5:.1f}" for i in range(80)], "regression"),
        ("label", [f"{i % 26 / 5:.1f}" for i in range(80)], "regression"),
        ("similarity", [str(i) for i in range(80)], "regression"),
        ("similarity", [str(i // 40) for i in range(4000)], "regression"),
        ("Score", [str(i % 6) for i in range(80)], "text-classification"),
        ("label", [f"{i % 6}.0" for i in range(80)], "text-classification"),
    ],
)
def test_scores_are_numbers_or_classes_and_the_draft_says_how_to_get_the_other(
    tmp_path: Path, column: str, cells: list[str], task: str
) -> None:
    rows = "".join(f"one {i}\tanother {i}\t{cell}\n" for i, cell in enumerate(cells))
    (tmp_path / "sts.tsv").write_text(f"sentence1\tsentence2\t{column}\n{rows}")
    text = draft_task_yaml(tmp_path / "sts.tsv", folder=tmp_path)
    (tmp_path / "task.yaml").write_text(text)
    assert load_task_data(load_task(tmp_path / "task.yaml"), 0).task_type.name == task
    if column != "label" or task == "regression":
        other = "text-classification" if task == "regression" else "regression"
        role = "label" if task == "regression" else "value"
        said = f"columns: {{text: sentence1, text_pair: sentence2, {role}: {column}}}"
        assert f"`task: {other}` and `{said}`" in text
        (tmp_path / "other.yaml").write_text(f"model: builtin:minilm\ntask: {other}\ndata: sts.tsv\n{said}\n")
        assert load_task(tmp_path / "other.yaml").task == other


def test_a_score_beside_a_sentiment_may_be_how_sure_that_is(tmp_path: Path) -> None:
    rows = "".join(f"some text {i},{'good' if i % 2 else 'bad'},0.9{i % 9}\n" for i in range(40))
    table = written(tmp_path, f"text,sentiment,score\n{rows}")
    with pytest.raises(UserError, match="does not show which column is the label; .* 'sentiment', 'score'"):
        guess_columns(table, None)
    assert guess_columns(table, "sentiment")[0].name == "text-classification"


TEXT = "some text number {0} that is longer"


@pytest.mark.parametrize(
    ("header", "row", "label"),
    [
        ("v1,v2,,", "{spam}," + TEXT + ",,", "v1"),
        ("id,text,toxic", "{0}," + TEXT + ",{flag}", "toxic"),
        ("comment,flagged,split,year", TEXT + ",{truth},{split},{year}", "flagged"),
        ("title,body,department", "title {0}," + TEXT + ",{spam}", "department"),
        ("premise,hypothesis,gold", TEXT + "," + TEXT + ",{spam}", "gold"),
        ("text,source,toxic", TEXT + ",{spam},{flag}", None),
        ("text,user_id", TEXT + ",u{flag}", None),
        ("text,grade", TEXT + ",{grade}", None),
        ("text,year", TEXT + ",{year}", None),
        ("text,created", TEXT + ",2024-05-0{grade}", None),
        ("text,split", TEXT + ",{split}", None),
        ("input,output", TEXT + ",{spam}", None),
        ("word,kind", "w{0},{spam}", None),
        ("text,n", TEXT + ",{0}", None),
    ],
)
def test_a_column_beside_texts_is_the_label_if_no_other_one_may_be(
    tmp_path: Path, header: str, row: str, label: str | None
) -> None:
    for i in range(40):
        odd = i % 3 == 0
        said = {"spam": "spam" if odd else "ham", "truth": odd, "split": "test" if odd else "train"}
        header += "\n" + row.format(i, flag=int(odd), year=2020 + i % 3, grade=1 + i % 5, **said)
    table = written(tmp_path, header)
    if label is None:
        with pytest.raises(UserError, match="does not show which column is the label"):
            guess_columns(table, None)
    else:
        assert guess_columns(table, None)[1]["label"] == label
        assert f"# {label!r} is taken for the label, since no other" in draft_task_yaml(tmp_path / "data.csv")
        assert "is taken for" not in draft_task_yaml(tmp_path / "data.csv", label)
        warnings = [load_task_data(task, 0).warnings for task in tasks_of(tmp_path / "data.csv", label)]
        told = [any(f"{label!r} is taken for the label, since" in line for line in lines) for lines in warnings]
        assert told == [True, True, False, False]


def tasks_of(file: Path, label: str) -> list[Task]:
    """As the command line and Python read it, without a word on the label and with it."""
    return [
        task
        for name in (None, label)
        for task in (load_task(file, name), given_task(None, str(file), name, None, file.parent))
    ]


def test_labels_with_three_digits_are_labels(tmp_path: Path) -> None:
    cells = ["100,163", "24,163", "100", "24", "100,24"] * 4
    table = written(tmp_path, "text,labels\n" + "".join(f'some text {i},"{c}"\n' for i, c in enumerate(cells)))
    assert guess_columns(table, None)[0].name == "multi-label"


def test_thousands_are_no_labels(tmp_path: Path) -> None:
    table = written(tmp_path, "text,price\n" + "".join(f'flat {i},"{1 + i % 3},100.5"\n' for i in range(12)))
    assert guess_columns(table, "price")[0].name != "multi-label"


def test_joined_labels_may_lack_a_cell(tmp_path: Path) -> None:
    cells = ["sport|politics", "sport", "politics", "", "sport|art", "art"] * 5
    table = written(tmp_path, "text,topics\n" + "".join(f"some text {i},{c}\n" for i, c in enumerate(cells)))
    assert guess_columns(table, "topics")[0].name == "multi-label"


def test_vectors_of_0_and_1_are_labels_by_place(tmp_path: Path) -> None:
    vectors = [[0.0, 1.0, 0.0, 1.0], [1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]
    rows = [json.dumps({"text": f"text {i}", "labels": vector}) for i, vector in enumerate(vectors)]
    name, examples = read(written(tmp_path, "\n".join(rows), "data.jsonl"))
    assert name == "multi-label" and [e["labels"] for e in examples] == [["1", "3"], ["0"], []]


@pytest.mark.parametrize(
    ("cells", "labels"),
    [
        ([[0, 1], [1, 0], [0, 1]], [["1"], ["0"], ["1"]]),
        ([[0, 1], [1], [0]], [["0", "1"], ["1"], ["0"]]),
        ([[0], [1], [0]], [["0"], ["1"], ["0"]]),
    ],
)
def test_labels_called_0_and_1_differ_in_number(tmp_path: Path, cells: list[list[int]], labels: list[list[str]]) -> None:
    rows = [json.dumps({"text": f"text {i}", "labels": some}) for i, some in enumerate(cells)]
    _, examples = read(written(tmp_path, "\n".join(rows), "data.jsonl"))
    assert [e["labels"] for e in examples] == labels


def test_a_tag_for_each_word_is_no_set_of_labels(tmp_path: Path) -> None:
    rows = [json.dumps({"text": "EU rejects German call", "ner_tags": [3, 0, 7, 0]}) for _ in range(3)]
    with pytest.raises(UserError, match=r"line 1, column 'ner_tags': .* names a label twice"):
        read(written(tmp_path, "\n".join(rows), "data.jsonl"), "ner_tags")


def test_a_column_of_0_and_1_may_lack_a_cell_which_is_then_told(tmp_path: Path) -> None:
    rows = [f"some text {i},{i % 2},{1 - i % 2}\n" for i in range(6)]
    table = written(tmp_path, "text,toxic,rude\n" + "".join(rows) + "last,1,\n")
    assert guess_columns(table, None)[1]["labels"] == ["toxic", "rude"]
    with pytest.raises(UserError, match="line 8, column 'rude': the label is"):
        read(table)


def test_labels_may_be_called_by_numbers_in_the_header(tmp_path: Path) -> None:
    table = written(tmp_path, "text,1,2,3\ngood one,1,0,0\nbad one,0,1,0\nodd one,0,0,1\n")
    assert table.columns == ["text", "1", "2", "3"] and len(table.rows) == 3
    with pytest.raises(UserError, match="a row where a header should be"):
        written(tmp_path, "good one,1,0\nbad one,0,1\nodd one,0,0\n")
    with pytest.raises(UserError, match="a row where a header should be"):
        written(tmp_path, "1,2,good one\n2,5,bad one\n3,1,odd one\n")


def test_a_column_of_0_and_1_that_is_mostly_empty_is_no_label(tmp_path: Path) -> None:
    rows = [f"some text {i},{i % 2},{1 - i % 2},{['', '', '0', '1'][i % 4]}\n" for i in range(40)]
    table = written(tmp_path, "text,toxic,rude,checked\n" + "".join(rows))
    assert guess_columns(table, None)[1]["labels"] == ["toxic", "rude"]


@pytest.mark.parametrize("at", [3, 400])
def test_a_header_that_comes_again_is_no_row(tmp_path: Path, at: int) -> None:
    lines = [f"some text {i},{'neg' if i % 2 else 'pos'}" for i in range(500)]
    table = written(tmp_path, "\n".join(["text,label", *lines[:at], "text,label", *lines[at:]]) + "\n")
    assert len(table.rows) == 500 and {row["label"] for row in table.rows} == {"neg", "pos"}
    assert f"line {at + 2} repeats the header" in " ".join(table.notes)


@pytest.mark.parametrize("value", ["NaN", float("nan"), "inf"])
def test_what_is_no_time_is_refused(value: Any) -> None:
    with pytest.raises(UserError, match="is no time"):
        time_of(value, "row 1")


def test_numbers_beyond_all_bounds_are_refused() -> None:
    with pytest.raises(UserError, match="expected a number"):
        number_of(10**400, "row 1")
    with pytest.raises(UserError, match="is no time"):
        time_of(10**400, "row 1")


@pytest.mark.parametrize("value", [10**30, "\ud83d"])
def test_what_cannot_be_kept_is_told_with_its_column(value: Any, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="The column 'extra' of data holds what cannot be kept"):
        file_of([{"text": "a", "extra": value}, {"text": "b", "extra": value}], tmp_path / "data.parquet")


def test_texts_that_parquet_holds_as_bytes_are_texts(tmp_path: Path) -> None:
    """Of writers that leave the type open (fastparquet, Spark's binaryAsString)."""
    import pyarrow.parquet

    columns = {"text": ["é".encode(), b"b", None], "label": [b"x", b"y", b"x"], "odd": [b"\xff\xd8", b"a", b"b"]}
    pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / "data.parquet")
    table = read_table(tmp_path / "data.parquet")
    assert table.rows[0] == {"text": "é", "label": "x", "odd": b"\xff\xd8"}
    assert table.rows[2]["text"] is None
    assert [note for note in table.notes if "'text' holds bytes" in note]


def flags(odd: str) -> str:
    rows = [
        f"{i:016x},This is number {i},{i % 2},{int(i % 3 == 0)},{odd if i == 9 else int(i % 5 == 0)}\n" for i in range(60)
    ]
    return "id,comment_text,rude,late,cold\n" + "".join(rows)


def test_an_identifier_is_no_text_beside_another(tmp_path: Path) -> None:
    assert guess_columns(written(tmp_path, flags("0")), None)[1] == {
        "text": "comment_text",
        "labels": ["rude", "late", "cold"],
    }


def test_init_tells_of_a_column_of_flags_with_an_odd_cell(tmp_path: Path) -> None:
    written(tmp_path, flags("2"))
    text = draft_task_yaml(tmp_path / "data.csv")
    assert "labels: [rude, late]}" in text
    assert "# 'cold' is not taken for a label, since it holds '2' (" in text and "line 11) beside 0 and 1" in text
