"""Splits as the task asks for them: by shares, groups, time, or the files of a folder; and rows that are left out."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from peftcost.errors import UserError
from peftcost.task.splits import TaskData, load_task_data
from peftcost.task.task import Shares, Task


def load(folder: Path, rows: list[dict[str, Any]], **fields: Any) -> TaskData:
    path = folder / "rows.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return load_task_data(Task(model="m", data=str(path), **fields), 0)


def reviews(n: int, **more: Any) -> list[dict[str, Any]]:
    return [
        {"text": f"review number {i}", "label": "good" if i % 2 else "bad", **{name: of(i) for name, of in more.items()}}
        for i in range(n)
    ]


def numbers(data: TaskData, split: str) -> list[int]:
    return [int(example["text"].split()[-1]) for example in getattr(data, split)]


def test_shares(tmp_path: Path) -> None:
    data = load(tmp_path, reviews(200), splits=Shares(dev=0.1, test=0.3))
    assert [len(getattr(data, name)) for name in ("train", "dev", "test")] == [120, 20, 60]


def test_more_rows_than_there_are_cannot_be_split_off(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="260 rows cannot be split off from 200 and leave some to train on"):
        load(tmp_path, reviews(200), splits=Shares(dev=200, test=60))


def test_a_group_stands_in_one_split(tmp_path: Path) -> None:
    data = load(tmp_path, reviews(200, user=lambda i: i % 23), group="user")
    users = [{n % 23 for n in numbers(data, split)} for split in ("train", "dev", "test")]
    assert all(users)
    assert sum(map(len, users)) == 23


def test_groups_of_a_given_test_file_are_not_trained_on(tmp_path: Path) -> None:
    (tmp_path / "test.csv").write_text("text,label,user\nsomething else,good,3\nand another,bad,4\n")
    rows = reviews(100, user=lambda i: i % 10)
    load(tmp_path, rows)
    files = {"train": str(tmp_path / "rows.csv"), "test": str(tmp_path / "test.csv")}
    data = load_task_data(Task(model="m", data=files, group="user"), 0)  # type: ignore[arg-type]
    assert not {3, 4} & {n % 10 for split in ("train", "dev") for n in numbers(data, split)}
    assert any("20 rows of train or their group also stood in test" in warning for warning in data.warnings)


def test_the_latest_rows_are_the_test(tmp_path: Path) -> None:
    rows = reviews(200, date=lambda i: f"2024-{1 + i * 7 % 200 // 20:02}-{1 + i * 7 % 200 % 20:02}")
    data = load(tmp_path, rows, time="date")
    dates = [[rows[n]["date"] for n in numbers(data, split)] for split in ("train", "dev", "test")]
    assert max(dates[0]) < min(dates[1]) <= max(dates[1]) < min(dates[2])
    with pytest.raises(UserError, match=r"line 2, column 'date': '03/04/2024' is no time"):
        load(tmp_path, reviews(10, date=lambda i: "03/04/2024"), time="date")


def test_files_of_a_folder_are_the_splits(tmp_path: Path) -> None:
    rows = reviews(60)
    for name, part in (("train", rows[:40]), ("validation", rows[40:50]), ("test", rows[50:])):
        (tmp_path / f"{name}.csv").write_text("text,label\n" + "".join(f"{r['text']},{r['label']}\n" for r in part))
    data = load_task_data(Task(model="m", data=str(tmp_path)), 0)
    assert (numbers(data, "dev"), numbers(data, "test")) == (list(range(40, 50)), list(range(50, 60)))
    (tmp_path / "dev.csv").write_text("text,label\n")
    with pytest.raises(UserError, match=r"dev\.csv, validation\.csv"):
        load_task_data(Task(model="m", data=str(tmp_path)), 0)


def test_bad_rows_are_left_out_and_told(tmp_path: Path) -> None:
    rows = reviews(60)
    rows[3]["label"], rows[7]["text"] = "", " "
    with pytest.raises(UserError, match="line 5, column 'label'"):
        load(tmp_path, rows)
    data = load(tmp_path, rows, skip_bad_rows=True)
    assert len(data.train) + len(data.dev) + len(data.test) == 58
    assert ["line 5" in data.rejected[0], "line 9" in data.rejected[1]] == [True, True]
    assert any("2 bad rows were left out" in warning for warning in data.warnings)


def test_unbalanced_classes_take_macro_f1_and_a_lone_row_is_told(tmp_path: Path) -> None:
    rows = [*reviews(240), {"text": "a rare thing", "label": "rare"}]
    data = load(tmp_path, rows)
    assert data.metric.name == "macro_f1"
    assert any("macro_f1, since" in warning and "1 of 'rare'" in warning for warning in data.warnings)
    assert any("'rare' (none in dev and test)" in warning for warning in data.warnings)
    assert load(tmp_path, reviews(240)).metric.name == "accuracy"


def test_labels_that_differ_by_case_are_told(tmp_path: Path) -> None:
    rows = reviews(60)
    rows[1]["label"] = rows[3]["label"] = "Good "
    assert any("'Good' and 'good'" in warning for warning in load(tmp_path, rows).warnings)
