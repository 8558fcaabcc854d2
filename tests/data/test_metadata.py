"""Pictures and sounds with a table of them in their folder, as `datasets` reads it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
import soundfile
from PIL import Image
from pyarrow import parquet

from peftcost.data.readers import read_table
from peftcost.data.split_folder import splits_of_folder
from peftcost.errors import UserError
from peftcost.task.columns import guess_columns

ROWS = [{"file_name": "a.png", "breed": "pug"}, {"file_name": "more/b.png", "breed": "husky"}]


def draw(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (2, 2)).save(folder / name)


def write(folder: Path, ending: str, rows: list[dict[str, Any]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"metadata{ending}"
    if ending == ".parquet":
        parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    elif ending == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        path.write_text("".join(",".join(map(str, line)) + "\n" for line in [rows[0], *(row.values() for row in rows)]))


def labels(folder: str | Path, label: str | None = None) -> dict[str, str]:
    """Of each file, by its name."""
    table = read_table(folder)
    kind, columns = guess_columns(table, label)
    return {Path(e["file"]).name: e["label"] for e in kind.read(table, columns)}


@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".parquet"])
def test_the_rows_of_a_table_are_those_of_the_files_beside_it(ending: str, tmp_path: Path) -> None:
    draw(tmp_path, "a.png", "more/b.png")
    write(tmp_path, ending, ROWS)
    (tmp_path / "licence.txt").write_text("free")
    assert labels(tmp_path) == {"a.png": "pug", "b.png": "husky"}
    notes = " ".join(read_table(tmp_path).notes)
    assert f"its pictures are those that metadata{ending} names" in notes
    assert "1 files hold no pictures and are left out (licence.txt)" in notes


def test_sounds_are_named_alike(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.ones(100) / 2, 8_000)
    write(tmp_path, ".csv", [{"file_name": "./a.wav", "event": "click"}])
    assert labels(tmp_path) == {"a.wav": "click"}


def test_a_file_without_a_row_and_a_row_without_a_file_are_refused_or_told(tmp_path: Path) -> None:
    draw(tmp_path, "a.png", "more/b.png", "more/lost.png")
    write(tmp_path, ".csv", ROWS)
    with pytest.raises(UserError, match=r"more/lost\.png: metadata\.csv has no row for this picture"):
        read_table(tmp_path)
    (told,) = read_table(tmp_path, skip_bad_rows=True).rejected
    assert "more/lost.png" in told
    (tmp_path / "more" / "lost.png").unlink()
    (tmp_path / "a.png").unlink()
    with pytest.raises(UserError, match=r"metadata\.csv, line 2, column 'file_name': there is no file a\.png"):
        labels(tmp_path)


def test_each_split_may_have_a_table_of_its_own(tmp_path: Path) -> None:
    for split in ("train", "test"):
        draw(tmp_path / split, "a.png", "more/b.png")
        write(tmp_path / split, ".csv", ROWS)
    found = splits_of_folder(tmp_path)
    assert set(found) == {"train", "test"}
    assert labels(found["test"]) == {"a.png": "pug", "b.png": "husky"}


def test_one_table_over_folders_of_splits_is_refused(tmp_path: Path) -> None:
    draw(tmp_path, "train/a.png", "test/b.png")
    write(tmp_path, ".csv", [{"file_name": "train/a.png", "breed": "pug"}, {"file_name": "test/b.png", "breed": "pug"}])
    with pytest.raises(UserError, match=r"a folder for each split \(test, train\); write the rows of each split into a"):
        read_table(tmp_path)


def test_folders_may_be_the_classes_where_no_column_is_called_so(tmp_path: Path) -> None:
    draw(tmp_path, "cat/a.png", "dog/b.png")
    write(tmp_path, ".csv", [{"file_name": "cat/a.png", "by": "Ann"}, {"file_name": "dog/b.png", "by": "Bo"}])
    with pytest.raises(UserError, match="does not show which column is the label.*'file_name', 'by', 'folder'"):
        labels(tmp_path)
    assert labels(tmp_path, "folder") == {"a.png": "cat", "b.png": "dog"}
    assert labels(tmp_path, "by") == {"a.png": "Ann", "b.png": "Bo"}
    write(tmp_path, ".csv", [{"file_name": "cat/a.png", "label": "tom"}, {"file_name": "dog/b.png", "label": "rex"}])
    assert labels(tmp_path) == {"a.png": "tom", "b.png": "rex"}


@pytest.mark.parametrize("row", [{"file_name": "cat/a.png"}, {"photographer": "Ann", "town": "Ulm"}])
def test_a_table_that_tells_nothing_of_the_files_leaves_the_folders_as_classes(row: dict[str, str], tmp_path: Path) -> None:
    draw(tmp_path, "cat/a.png", "dog/b.png")
    write(tmp_path, ".csv", [row])
    assert labels(tmp_path) == {"a.png": "cat", "b.png": "dog"}
    assert any("left out (metadata.csv)" in note for note in read_table(tmp_path).notes)


def test_two_tables_are_refused(tmp_path: Path) -> None:
    draw(tmp_path, "a.png", "more/b.png")
    write(tmp_path, ".csv", ROWS)
    write(tmp_path, ".jsonl", ROWS)
    with pytest.raises(UserError, match=r"metadata\.csv and metadata\.jsonl; keep the one that is right"):
        read_table(tmp_path)
