"""Pictures as they come: grey, transparent, 16-bit, turned, broken, missing; in folders, cells and files."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from peftcost.data.images import in_cell, is_picture, opened, pictures
from peftcost.data.readers import read_table
from peftcost.data.split_folder import splits_of_folder
from peftcost.errors import UserError

PURPLE = (200, 0, 100)


def as_cell(image: Image.Image, kind: str = "PNG", **options: Any) -> dict[str, Any]:
    packed = io.BytesIO()
    image.save(packed, kind, **options)
    return {"bytes": packed.getvalue(), "path": None}


def pixel(cell: Any, folder: Path = Path()) -> tuple[int, ...]:
    """The upper left one, in three colours."""
    (found,) = pictures([cell], ["here"], folder)
    image = opened(found.file)
    assert image.mode == "RGB"
    return tuple(image.getpixel((0, 0)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("image", "kind", "expected"),
    [
        (Image.new("RGB", (3, 2), PURPLE), "PNG", PURPLE),
        (Image.new("L", (3, 2), 90), "PNG", (90, 90, 90)),
        (Image.new("1", (3, 2), 1), "PNG", (255, 255, 255)),
        (Image.new("RGBA", (3, 2), (*PURPLE, 0)), "PNG", (255, 255, 255)),
        (Image.new("RGBA", (3, 2), (*PURPLE, 255)), "PNG", PURPLE),
        (Image.new("LA", (3, 2), (90, 255)), "PNG", (90, 90, 90)),
        (Image.new("RGB", (3, 2), PURPLE).convert("P"), "GIF", None),
        (Image.new("CMYK", (3, 2), (0, 255, 0, 0)), "TIFF", (255, 0, 255)),
        (Image.fromarray(np.full((2, 3), 128 * 256, np.uint16)), "PNG", (128, 128, 128)),
        (Image.fromarray(np.full((2, 3), 0.5, np.float32)), "TIFF", (127, 127, 127)),
        (Image.fromarray(np.full((2, 3), 90, np.float32)), "TIFF", (90, 90, 90)),
    ],
)
def test_any_mode_becomes_three_colours(image: Image.Image, kind: str, expected: tuple[int, ...] | None) -> None:
    found = pixel(as_cell(image, kind))
    assert expected is None or np.abs(np.subtract(found, expected)).max() <= 1


def test_a_photo_is_turned_as_the_camera_was() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    (found,) = pictures([as_cell(Image.new("RGB", (4, 2)), "JPEG", exif=exif)], ["here"], Path())
    assert found.size == (2, 4)


def test_equal_pixels_are_one_picture_whatever_the_file(tmp_path: Path) -> None:
    image = Image.new("RGB", (3, 2), PURPLE)
    image.save(tmp_path / "a.png")
    cells = [as_cell(image, "BMP"), "a.png", as_cell(Image.new("RGB", (2, 3), PURPLE))]
    first, second, turned = pictures(cells, ["1", "2", "3"], tmp_path)
    assert first.digest == second.digest
    assert turned.digest != first.digest


@pytest.mark.parametrize(
    ("cell", "says"),
    [
        ("gone.png", "t.csv, line 2: there is no file gone.png"),
        ("broken.png", "broken.png cannot be opened as a picture"),
        ("half.png", "half.png cannot be opened as a picture"),
        ({"bytes": b"GIF89a", "path": "x.gif"}, "x.gif cannot be opened"),
        ({"bytes": None, "path": None}, "the picture is missing"),
        ({"bytes": "no base64!", "path": None}, "t.csv, line 2: the picture's bytes are neither bytes nor base64"),
        ("https://a.example/b.png", "t.csv, line 2: https://a.example/b.png is an address, and nothing is fetched"),
        (None, "the picture is missing"),
        (" ", "the picture is missing"),
        (float("nan"), "the picture is missing"),
        (7, "expected a picture's path"),
        (".", "cannot be opened"),
    ],
)
def test_what_is_no_picture_is_told_with_file_and_row(tmp_path: Path, cell: Any, says: str) -> None:
    (tmp_path / "broken.png").write_text("no picture")
    whole = as_cell(Image.fromarray(np.random.default_rng(0).integers(0, 255, (50, 50, 3), np.uint8)))["bytes"]
    (tmp_path / "half.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=says):
        pictures([cell], ["t.csv, line 2"], tmp_path)


@pytest.mark.parametrize("write", [lambda b: base64.b64encode(b).decode(), lambda b: base64.encodebytes(b).decode(), list])
def test_bytes_may_stand_in_json(write: Any) -> None:
    cell = {"bytes": write(as_cell(Image.new("RGB", (40, 30), PURPLE))["bytes"]), "path": None}
    assert is_picture(cell)
    assert pixel(cell) == PURPLE
    assert not is_picture({"bytes": "no base64!", "path": None})


def test_a_folder_a_class_is_a_table(tmp_path: Path) -> None:
    for name in ("dog/1.png", "cat/2.JPG", "cat/1.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (2, 2)).save(tmp_path / name)
    (tmp_path / "cat" / "notes.txt").write_text("x")
    (tmp_path / "cat" / "Thumbs.db").write_text("x")
    (tmp_path / "empty").mkdir()
    table = read_table(tmp_path)
    assert [(row["image"], row["label"]) for row in table.rows] == [
        ("cat/1.png", "cat"), ("cat/2.JPG", "cat"), ("dog/1.png", "dog"),
    ]  # fmt: skip
    assert "3 pictures in 2 folders" in table.notes[0]
    assert "2 files or folders hold no pictures and are left out (empty, cat/notes.txt)" in table.notes[1]
    assert read_table(tmp_path / "cat").columns == ["image"]
    Image.new("RGB", (2, 2)).save(tmp_path / "lost.png")
    with pytest.raises(UserError, match="beside folders"):
        read_table(tmp_path)


def test_folders_in_the_folder_of_a_class_are_of_that_class(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    for name in ("cat/1.png", "cat/more/2.png", "cat/more/still/3.png", "cat/.hidden/4.png", "dog/puppies/5.png"):
        (photos / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (2, 2)).save(photos / name)
    (photos / "cat" / "more" / "notes.txt").write_text("x")
    (photos / "cat" / "link").symlink_to(photos / "dog")
    table = read_table(photos)
    assert [(row["image"], row["label"]) for row in table.rows] == [
        ("cat/1.png", "cat"), ("cat/more/2.png", "cat"), ("cat/more/still/3.png", "cat"), ("dog/puppies/5.png", "dog"),
    ]  # fmt: skip
    assert "4 pictures in 2 folders, whose names are the labels; 3 lie in folders further down." in table.notes[0]
    assert "2 files or folders hold no pictures and are left out (cat/link, cat/more/notes.txt)" in table.notes[1]
    with pytest.raises(UserError, match="is a folder, but none"):
        read_table(tmp_path)


def test_folders_of_splits_are_found_and_a_class_called_train_is_none(tmp_path: Path) -> None:
    for name in ("split/train/cat", "split/validation/cat", "vehicles/train", "vehicles/plane"):
        (tmp_path / name).mkdir(parents=True)
        Image.new("RGB", (2, 2)).save(tmp_path / name / "1.png")
    assert set(splits_of_folder(tmp_path / "split")) == {"train", "dev"}
    assert splits_of_folder(tmp_path / "vehicles") == {}
    assert {row["label"] for row in read_table(tmp_path / "vehicles").rows} == {"train", "plane"}


def test_splits_are_no_classes_however_they_are_written(tmp_path: Path) -> None:
    for name in ("kaggle/Training/cat", "kaggle/Testing/cat", "alone/train", "alone/test"):
        (tmp_path / name).mkdir(parents=True)
        Image.new("RGB", (2, 2)).save(tmp_path / name / "1.png")
    assert set(splits_of_folder(tmp_path / "kaggle")) == {"train", "test"}
    with pytest.raises(UserError, match="a folder for each split, but no folders of classes in these"):
        read_table(tmp_path / "alone")


def test_what_a_python_caller_holds_becomes_a_cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("RGB", (2, 2), PURPLE).save(tmp_path / "a.png")
    monkeypatch.chdir(tmp_path)
    assert in_cell("a.png") == in_cell(Path("a.png")) == str(tmp_path / "a.png")
    assert in_cell("see a.png for more") == "see a.png for more"
    assert pixel(in_cell(Image.new("CMYK", (2, 2), (0, 255, 0, 0)))) == (255, 0, 255)
