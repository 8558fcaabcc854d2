"""Pictures as data: where they lie, whether they can be opened, and their pixels in three colours."""

from __future__ import annotations

import base64
import hashlib
import io
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peftcost.errors import UserError

if TYPE_CHECKING:
    from PIL.Image import Image

ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")
INLINE = "data:;base64,"
"""What stands before the bytes of a picture that is no file, as in a data URI."""
BROWSER_FILES = ("thumbs.db", "desktop.ini")


@dataclass(frozen=True)
class Picture:
    """file: its path, or its bytes as a data URI. digest: sha256 of its pixels. size: width and height. mode: of colours, as
    Pillow calls them."""

    file: str
    digest: str
    size: tuple[int, int]
    mode: str


def pictures(values: Sequence[Any], places: Sequence[str], folder: Path) -> list[Picture]:
    """The pictures of these cells, each opened once. A cell holds a path, which is relative to `folder`, or a mapping with
    "bytes" and "path" as `datasets` writes it.

    UserError with its place for the first that is missing or cannot be opened.
    """
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        return list(pool.map(partial(_picture, folder=folder), values, places))


def opened(file: str) -> Image:
    """The pixels in three colours, turned as the camera was; what is transparent is white. file: as in `Picture`."""
    return in_three_colours(_as_it_is(file))


def _as_it_is(file: str) -> Image:
    from PIL import Image, ImageOps

    raw: Any = io.BytesIO(base64.b64decode(file.removeprefix(INLINE))) if file.startswith(INLINE) else file
    with Image.open(raw) as image:
        image.load()
        return ImageOps.exif_transpose(image)


def in_three_colours(image: Image) -> Image:
    """Grey, 16-bit, CMYK and palette pictures as RGB; what is transparent becomes white."""
    from PIL import Image

    if image.mode.startswith(("I", "F")):  # 16 bits a pixel, or what was read as such
        deep = image.getextrema()[1] > 255  # type: ignore[operator]
        image = image.point(lambda value: value / 256 if deep else value).convert("L")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        background = Image.new("RGBA", image.size, "white")
        background.alpha_composite(image)
        image = background
    return image.convert("RGB")


def is_picture(value: Any) -> bool:
    """Whether a cell holds a picture, or the path of one."""
    if isinstance(value, dict):
        return set(value) == {"bytes", "path"}
    return isinstance(value, str) and value.strip().lower().endswith(ENDINGS)


def in_cell(picture: Any) -> Any:
    """A picture that a Python caller holds, or its path, as a cell: paths from the working directory become absolute.
    Other values are left as they are."""
    if isinstance(picture, Path) or (is_picture(picture) and isinstance(picture, str) and Path(picture).is_file()):
        return str(Path(picture).absolute())
    if not hasattr(picture, "save") or not hasattr(picture, "getextrema"):  # Pillow is not imported to find out
        return picture
    packed = io.BytesIO()
    picture.save(packed, format="TIFF" if picture.mode in ("CMYK", "F", "YCbCr", "LAB") else "PNG")
    return {"bytes": packed.getvalue(), "path": None}


def pictures_in(folder: Path) -> list[Path]:
    """The files in a folder that a picture's ending says are one."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in ENDINGS and path.is_file())


def class_folders(folder: Path) -> list[Path]:
    """The folders in a folder that hold pictures."""
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".") and pictures_in(path))


def other_files(folder: Path) -> list[Path]:
    """What else lies in a folder, but for what file browsers leave there."""
    ours = {*pictures_in(folder), *class_folders(folder)}
    found = (path for path in folder.iterdir() if path not in ours and not path.name.startswith("."))
    return sorted(path for path in found if path.name.lower() not in BROWSER_FILES)


def _picture(value: Any, place: str, folder: Path) -> Picture:
    file, name = _file_of(value, place, folder)
    try:
        stored = _as_it_is(file)
        image = in_three_colours(stored)
    except FileNotFoundError:
        raise UserError(f"{place}: there is no file {name}; correct the path or remove the row.") from None
    except Exception as error:  # a damaged file makes decoders raise whatever they meet
        raise UserError(
            f"{place}: {name} cannot be opened as a picture ({_said(error)}); replace the file or remove the row."
        ) from error
    digest = hashlib.sha256(f"{image.size}".encode() + image.tobytes())
    return Picture(file, digest.hexdigest(), image.size, stored.mode)


def _file_of(value: Any, place: str, folder: Path) -> tuple[str, str]:
    """The file, as in `Picture`, and what to call it."""
    if isinstance(value, dict) and value.get("bytes"):
        packed = bytes(value["bytes"])
        return INLINE + base64.b64encode(packed).decode("ascii"), str(value.get("path") or "the picture")
    path = value.get("path") if isinstance(value, dict) else value
    if path is None or (isinstance(path, float) and path != path) or (isinstance(path, str) and not path.strip()):
        raise UserError(f"{place}: the picture is missing; fill it in or remove the row.")
    if not isinstance(path, str):
        raise UserError(f"{place}: expected a picture's path, but got {path!r} ({type(path).__name__}).")
    return str((folder / Path(path.strip()).expanduser()).absolute()), path


def _said(error: Exception) -> str:
    """The first line, without the file's name, which Pillow puts in."""
    return (str(error) or type(error).__name__).splitlines()[0].split(" '")[0].split(" <")[0]
