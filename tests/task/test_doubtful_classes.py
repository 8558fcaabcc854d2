"""Label columns that may mean something else: what is refused, what is told."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from peftcost.data.table import Table
from peftcost.errors import UserError
from peftcost.task.columns import guess_columns
from peftcost.task.draft import draft_task_yaml
from peftcost.task.splits import TaskData, load_task_data
from peftcost.task.task import load_task
from peftcost.tasks import get_task_type


def written(folder: Path, cells: list[str], column: str = "label", rows: int = 80) -> Path:
    lines = "".join(f'some text number {i},"{cells[i % len(cells)]}"\n' for i in range(rows))
    (folder / "x.csv").write_text(f"text,{column}\n{lines}", encoding="utf-8")
    return folder / "x.csv"


def load(path: Path, label: str | None = None) -> TaskData:
    return load_task_data(load_task(path, label), 0)


@pytest.mark.parametrize(
    ("cells", "says"),
    [
        (["yes", "no", "N/A"], "'N/A' may stand for a missing label, but is taken for a class"),
        (["neutral", "-", "#REF!"], "'#REF!', '-' may stand for a missing label, but are taken for classes"),
        (["1-5", "6-10", "Nov-15", "16-20"], "'Nov-15' may be what Excel made of another label"),
        (["drama", "action", "action/drama"], "The class 'action/drama' may be several, 'action' and 'drama'"),
        (["haze", "primary", "haze primary"], "write lists, or 'haze|primary', with `task: multi-label`"),
    ],
)
def test_classes_that_may_be_none_are_told(tmp_path: Path, cells: list[str], says: str) -> None:
    assert any(says in warning for warning in load(written(tmp_path, cells)).warnings)


@pytest.mark.parametrize(
    "cells", [["+", "-"], ["Jan-05", "Feb-06"], ["New York", "York"], ["None", "mild"], ["1", "-1", "0"]]
)
def test_other_classes_raise_no_doubt(tmp_path: Path, cells: list[str]) -> None:
    assert not any("may " in warning for warning in load(written(tmp_path, cells)).warnings)


@pytest.mark.parametrize("odd", ["0.5", "1.5"])
def test_one_fraction_among_whole_numbers_makes_no_regression_untold(tmp_path: Path, odd: str) -> None:
    path = written(tmp_path, [*["0", "1", "2"] * 13, odd])
    with pytest.raises(
        UserError, match=f"line 41, column 'label': '{odd}' is not whole .* `task: regression` and `columns"
    ) as raised:
        load(path)
    task, columns = str(raised.value).split("`")[1::2]
    (tmp_path / "task.yaml").write_text(f"model: builtin:minilm\n{task}\ndata: x.csv\n{columns}\n")
    assert load(tmp_path / "task.yaml").task_type.name == "regression"
    assert load(written(tmp_path, [*["0", "1", "2"] * 13, odd], "score"), "score").task_type.name == "regression"


def test_many_whole_numbers_may_be_learnt_as_such_and_the_draft_says_how(tmp_path: Path) -> None:
    assert "to learn them as numbers write `task: regression`" in draft_task_yaml(
        written(tmp_path, [str(10 * i) for i in range(25)], "price", 200), "price"
    )
    says = "is this the label column. To learn numbers as such, write `task: regression`, and under columns `value:`"
    with pytest.raises(UserError, match=says):
        load(written(tmp_path, [str(10 * i) for i in range(80)], "price"), "price")


@pytest.mark.parametrize("joint", ["|", ";", ","])
def test_a_joint_at_an_end_parts_nothing(tmp_path: Path, joint: str) -> None:
    cells = [f"late{joint}rude{joint}", f"{joint}rude", f"late{joint}shop", f"shop{joint}", f"rude{joint}shop"]
    data = load(written(tmp_path, cells))
    assert data.targets.describe() == "Labels (3): late, rude, shop"
    with pytest.raises(UserError, match="line 7, column 'label': the label is empty"):
        load(written(tmp_path, [*cells, f"late{joint}{joint}rude"]))


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"text": "a b", "label": {"good": 1, "bad": 0}}, "expected one label, but got an object ('good', 'bad': …)"),
        ({"data": {"text": "a b"}, "label": "x"}, "What is within 'data' is no column"),
        ({"id": 1, "annotations": [{"result": []}]}, "What is within 'annotations' is no column"),
        ({"translation": {"en": "a", "de": "b"}}, "has one column alone.*What is within 'translation' is no column"),
    ],
)
def test_objects_within_rows_are_named(tmp_path: Path, row: dict[str, Any], says: str) -> None:
    (tmp_path / "x.jsonl").write_text("\n".join([json.dumps(row)] * 9))
    with pytest.raises(UserError, match=says.replace("(", "\\(").replace(")", "\\)")):
        load(tmp_path / "x.jsonl")


@pytest.mark.parametrize("joint", ["^", "::", " @@@ "])
def test_a_file_of_one_column_says_which_separators_are_read(tmp_path: Path, joint: str) -> None:
    (tmp_path / "x.csv").write_text("".join(f"a text{joint}{label}\n" for label in ("label", "x", "y", "x")))
    with pytest.raises(UserError, match="has one column alone .*a comma, a semicolon, a tab or a bar between them"):
        load(tmp_path / "x.csv")


WORDS = [(["Ann", "left", "York", str(i)], ["B-PER", "O", "B-LOC", "O"]) for i in range(40)]


@pytest.mark.parametrize("write", [" ".join, list])
def test_tags_beside_texts_of_other_lengths_are_no_classes(tmp_path: Path, write: Any) -> None:
    rows = [
        json.dumps({"text": " ".join(words) + " .", "labels": write(tags[: 4 - i % 2])})
        for i, (words, tags) in enumerate(WORDS)
    ]
    (tmp_path / "x.jsonl").write_text("\n".join(rows))
    with pytest.raises(UserError, match="line 1, column 'labels': 4 tags of words, but 'text' has 5 words"):
        load(tmp_path / "x.jsonl")


def test_tags_behind_bars_are_named(tmp_path: Path) -> None:
    lines = [" ".join(f"{word}|NN|{tag}" for word, tag in zip(*pair, strict=True)) for pair in WORDS]
    (tmp_path / "x.iob").write_text("\n".join(lines))
    with pytest.raises(UserError, match=r"x.iob, line 1: tags stand behind bars .Ann.NN.B-PER."):
        load(tmp_path / "x.iob")


def test_tags_behind_commas_are_named(tmp_path: Path) -> None:
    blocks = ["\n".join(f"{word},{tag}" for word, tag in zip(*pair, strict=True)) for pair in WORDS]
    (tmp_path / "x.conll").write_text("\n\n".join(blocks))
    with pytest.raises(UserError, match=r"x.conll, line 1: tags stand behind commas .Ann,B-PER."):
        load(tmp_path / "x.conll")


def test_lone_quotes_in_a_tsv_swallow_no_rows(tmp_path: Path) -> None:
    words = [
        (i, '"' if word == "left" else word, tag) for i, pair in enumerate(WORDS) for word, tag in zip(*pair, strict=True)
    ]
    (tmp_path / "x.tsv").write_text("sentence_id\tword\ttag\n" + "".join(f"{i}\t{w}\t{t}\n" for i, w, t in words))
    data = load(tmp_path / "x.tsv")
    assert (len(data.train) + len(data.dev) + len(data.test), data.train[0]["tokens"][1]) == (40, '"')
    (tmp_path / "y.tsv").write_text(
        "text\tlabel\n" + "".join(f'"a text {i}\nof two lines"\t{"ab"[i % 2]}\n' for i in range(40))
    )
    assert load(tmp_path / "y.tsv").train[0]["text"].endswith("\nof two lines"), "a cell that is quoted well"


def split_folder(folder: Path, *names: str) -> Path:
    for k, name in enumerate(names):
        (folder / name).write_text("text,label\n" + "".join(f"text {k} {i},{'ab'[i % 2]}\n" for i in range(40)))
    return folder


def test_tables_that_are_no_splits_are_told(tmp_path: Path) -> None:
    data = load(split_folder(tmp_path, "train.csv", "holdout.csv", "README.txt", ".hidden.csv"))
    assert any("holdout.csv is no split by its name and is not used" in warning for warning in data.warnings)
    assert not any("README" in warning or "hidden" in warning for warning in data.warnings)


def test_a_folder_without_train_names_its_files(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none of its files is called train .'my_test.csv', 'my_train.csv'.; give one file"):
        load(split_folder(tmp_path, "my_train.csv", "my_test.csv"))
    with pytest.raises(
        UserError, match=r"holds val.csv, validation.csv, .* the dev split; .* data: {train: …, dev: .*val.csv}"
    ):
        load(split_folder(tmp_path, "train.csv", "val.csv", "validation.csv"))


def test_numbers_of_databases_are_labels(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    labels = [Decimal(i % 2) for i in range(40)]
    pyarrow.parquet.write_table(
        pyarrow.table({"text": [f"text {i}" for i in range(40)], "label": labels}), tmp_path / "x.parquet"
    )
    assert load(tmp_path / "x.parquet").targets.describe() == "Labels (2): 0, 1"


def turns(**more: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho", **more}]


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"weight": 0.5}, "turn 2, weight: expected 0 .not to be learnt. or 1, but got 0.5"),
        ({"reasoning_content": "hm"}, "turn 2, reasoning_content: is not learnt; write it into the content"),
        ({"train": False}, "the assistant says nothing"),
        ({"weight": 0}, "the assistant says nothing"),
    ],
)
def test_marks_on_turns_are_heeded_or_refused(more: dict[str, Any], says: str) -> None:
    kind = get_task_type("causal-lm")
    table = Table("x.jsonl", ["messages"], [{"messages": turns(**more)}], [1])
    with pytest.raises(UserError, match=f"line 1, column 'messages'.*{says}"):
        kind.read(table, {"messages": "messages"})


@pytest.mark.parametrize("more", [{"weight": 1}, {"weight": None}, {"train": True, "reasoning_content": None}])
@pytest.mark.parametrize("write", [list, json.dumps, str])
def test_conversations_are_read_as_json_or_python_writes_them(more: dict[str, Any], write: Any) -> None:
    table = Table("x.jsonl", ["messages"], [{"messages": write(turns(**more))}] * 9, list(range(1, 10)))
    kind, columns = guess_columns(table, None)
    assert kind.read(table, columns)[0]["completion"] == "Ho"
