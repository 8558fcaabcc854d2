"""Data frames, datasets and lists of rows are read as the same task in a file would be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pytest

from peftcost.data.in_memory import file_of, files_of
from peftcost.data.readers import read_table
from peftcost.errors import UserError
from peftcost.task.given import given_task
from peftcost.task.task import DataFiles, absolute_paths, relative_paths

ROWS = [{"review": f"a text of some length, number {i}", "stars": "ab"[i % 2]} for i in range(6)]


def rows_in(data: Any, folder: Path) -> list[dict[str, Any]]:
    return read_table(file_of(data, folder / "rows.parquet")).rows


def test_rows_of_each_kind_come_back(tmp_path: Path) -> None:
    assert (
        rows_in(ROWS, tmp_path)
        == rows_in(pd.DataFrame(ROWS), tmp_path)
        == rows_in(datasets.Dataset.from_list(ROWS), tmp_path)
    )


def test_cells_of_data_frames_keep_their_meaning(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "text": ["a", None, "c"],
            "label": pd.Categorical(["x", "y", "x"]),
            "count": pd.array([1, None, 2], dtype="Int64"),
            "tokens": [np.array(["u", "v"]), np.array(["w"]), None],
        },
        index=[7, 7, 9],
    )
    first, second, third = rows_in(frame, tmp_path)
    assert first == {"text": "a", "label": "x", "count": 1, "tokens": ["u", "v"]}
    assert (second["text"], second["count"], third["tokens"]) == (None, None, None)


def test_classes_of_a_dataset_keep_their_names_and_its_rows_their_order(tmp_path: Path) -> None:
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["no", "yes"])})
    data = datasets.Dataset.from_dict({"text": ["a", "b"], "label": [0, 1]}, features=features).select([1, 0])
    assert rows_in(data, tmp_path) == [{"text": "b", "label": "yes"}, {"text": "a", "label": "no"}]


def test_a_key_that_only_later_rows_have_is_a_column(tmp_path: Path) -> None:
    assert rows_in([{"a": "x"}, {"b": 2}], tmp_path) == [{"a": "x", "b": None}, {"a": None, "b": 2}]


def test_splits_of_a_dataset_dict_find_their_place(tmp_path: Path) -> None:
    data = datasets.Dataset.from_list(ROWS)
    files = files_of(datasets.DatasetDict({"train": data, "validation": data}), tmp_path)
    assert isinstance(files, dict) and list(files) == ["train", "dev"]
    assert all(Path(file).exists() for file in files.values())


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (3, "data is a int"),
        (["a text"], r"data\[0\] is a str"),
        ([{"a": 1}, {"a": "x"}], "column 'a' of data"),
        ({"trian": ROWS}, "no split 'trian'"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "two columns 'a'"),
    ],
)
def test_what_is_no_data_is_told(data: Any, says: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=says):
        files_of(data, tmp_path)


def test_a_task_by_data_alone_by_fields_and_with_other_data(tmp_path: Path) -> None:
    alone = given_task(None, ROWS, "stars", None, tmp_path)
    assert (alone.task, alone.columns) == ("text-classification", {"text": "review", "label": "stars"})
    fields = {"model": "builtin:minilm", "data": {"train": ROWS, "dev": ROWS}, "columns": alone.columns}
    by_fields = given_task(fields, None, None, None, tmp_path)
    assert by_fields.data == DataFiles(train=str(tmp_path / "train.parquet"), dev=str(tmp_path / "dev.parquet"))
    other = given_task("builtin:tweets", pd.DataFrame(ROWS), None, ["a/b", "c/d"], tmp_path)
    assert (other.data, other.models) == (str(tmp_path / "train.parquet"), ["a/b", "c/d"])


@pytest.mark.parametrize(
    ("task", "data", "label", "says"),
    [
        (None, None, None, "task= or data="),
        ({"model": "builtin:minilm", "dta": ROWS}, None, None, "unknown field 'dta'"),
        ({"model": "builtin:minilm"}, ROWS, "stars", "label= is for data"),
        (None, {"dev": ROWS}, "stars", "nothing to train on"),
        (
            None,
            [{"review": row["review"], "shop": row["stars"], "by": row["stars"]} for row in ROWS],
            None,
            "label=: 'review', 's",
        ),
    ],
)
def test_what_does_not_make_a_task_is_told_in_the_callers_terms(
    task: Any, data: Any, label: str | None, says: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=says):
        given_task(task, data, label, None, tmp_path)


def test_data_within_a_folder_move_with_it(tmp_path: Path) -> None:
    task = given_task(None, ROWS, "stars", None, tmp_path / "data")
    told = relative_paths(task, tmp_path)
    assert told.data == "data/train.parquet"
    assert absolute_paths(told, tmp_path) == task
