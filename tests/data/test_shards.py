"""Folders of Parquet shards, as repositories of `datasets` lay them out."""

from __future__ import annotations

from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from peftcost.data.readers import read_table
from peftcost.errors import UserError
from peftcost.task.draft import draft_task_yaml
from peftcost.task.splits import load_task_data
from peftcost.task.task import load_task


def write(folder: Path, name: str, begin: int, end: int, column: str = "text") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    numbers = range(begin, end)
    texts = [f"a text of some length, number {i}" for i in numbers]
    table = pyarrow.table({column: texts, "label": [["good", "bad"][i % 2] for i in numbers]})
    pyarrow.parquet.write_table(table, folder / f"{name}.parquet")


@pytest.mark.parametrize("inside", ["", "data"])
def test_a_repository_of_shards_has_its_splits(tmp_path: Path, inside: str) -> None:
    write(tmp_path / inside, "train-00000-of-00002", 0, 30)
    write(tmp_path / inside, "train-00001-of-00002", 30, 50)
    write(tmp_path / inside, "validation-00000-of-00001-0123456789abcdef", 50, 70)
    write(tmp_path / inside, "test-00000-of-00001", 70, 90)
    for name in ("README.md", ".gitattributes", "dataset_infos.json"):
        (tmp_path / name).write_text("")
    data = load_task_data(load_task(tmp_path), 0)
    assert {name: len(getattr(data, name)) for name in ("train", "dev", "test")} == {"train": 50, "dev": 20, "test": 20}
    assert data.train[40]["text"].endswith("number 40")
    assert data.train[40]["place"] == f"{tmp_path / inside / 'train-*.parquet'}, row 41"
    (tmp_path / "task.yaml").write_text(draft_task_yaml(tmp_path, folder=tmp_path))
    assert load_task_data(load_task(tmp_path / "task.yaml"), 0).fingerprint == data.fingerprint


def test_shards_of_one_name_are_one_table(tmp_path: Path) -> None:
    for i in range(3):
        write(tmp_path, f"reviews-{i:05d}-of-00003", 10 * i, 10 * i + 10)
    table = read_table(tmp_path)
    assert [row["text"] for row in table.rows] == [f"a text of some length, number {i}" for i in range(30)]
    assert table.place(29) == f"{tmp_path}, row 30"
    assert read_table(tmp_path / "reviews-*.parquet").rows == table.rows


def test_a_shard_that_is_missing_or_of_another_kind_is_told(tmp_path: Path) -> None:
    write(tmp_path / "half", "train-00001-of-00002", 0, 10)
    with pytest.raises(UserError, match=r"half does not hold each of the 2 shards train-…-of-00002\.parquet once"):
        load_task(tmp_path / "half")
    write(tmp_path / "odd", "train-00000-of-00002", 0, 10)
    write(tmp_path / "odd", "train-00001-of-00002", 0, 10, column="review")
    with pytest.raises(UserError, match=r"00001-of-00002\.parquet has other columns \('review', 'label'\) than"):
        load_task(tmp_path / "odd")


def test_of_splits_without_train_one_is_named(tmp_path: Path) -> None:
    for name in ("test", "unsupervised"):
        write(tmp_path, f"{name}-00000-of-00001", 0, 10)
    with pytest.raises(UserError, match=r"several splits \(test, unsupervised\); give one of them, as in .*test-\*\.parquet"):
        read_table(tmp_path)
    assert len(read_table(f"{tmp_path}/test-*.parquet").rows) == 10
    with pytest.raises(UserError, match="There is no data file"):
        read_table(f"{tmp_path}/train-*.parquet")


def test_other_data_beside_shards_is_not_passed_over(tmp_path: Path) -> None:
    write(tmp_path, "reviews-00000-of-00001", 0, 10)
    (tmp_path / "more.csv").write_text("text,label\na,good\n")
    with pytest.raises(UserError, match="none of its files is called train"):
        read_table(tmp_path)
