"""Pictures as data: where they lie, whether they can be opened, and their pixels in three colours."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from peftcost.data.media import absolute, cannot_be_opened, file_of, has_bytes, has_ending, in_threads, readable
from peftcost.data.sounds import is_sound

if TYPE_CHECKING:
    from PIL.Image import Image

ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")


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
    return in_threads(partial(_picture, folder=folder), values, places)


def opened(file: str) -> Image:
    """The pixels in three colours, turned as the camera was; what is transparent is white. file: as in `Picture`."""
    return in_three_colours(_as_it_is(file))


def _as_it_is(file: str) -> Image:
    from PIL import Image, ImageOps

    with Image.open(readable(file)) as image:
        image.load()
        return ImageOps.exif_transpose(image)


def in_three_colours(image: Image) -> Image:
    """Grey, 16-bit, CMYK and palette pictures as RGB; what is transparent becomes white."""
    from PIL import Image

    if image.mode.startswith(("I", "F")):  # 16 bits a pixel, or what was read as such
        image = image.point(_to_bytes(image)).convert("L")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        background = Image.new("RGBA", image.size, "white")
        background.alpha_composite(image)
        image = background
    return image.convert("RGB")


def _to_bytes(image: Image) -> Callable[[Any], Any]:
    """What makes numbers up to 255 of a deep picture's: of its 16 bits, of shares from 0 to 1, or of such numbers already."""
    most = cast("float", image.getextrema()[1])  # of several bands it would be a pair
    if image.mode == "F" and most <= 1:
        return lambda value: value * 255
    return (lambda value: value / 256) if most > 255 else lambda value: value


def is_picture(value: Any) -> bool:
    """Whether a cell holds a picture, or the path of one."""
    if isinstance(value, dict):
        return has_bytes(value) and not is_sound(value)
    return isinstance(value, str) and has_ending(value, ENDINGS)


def in_cell(picture: Any) -> Any:
    """A picture that a Python caller holds, or its path, as a cell: paths from the working directory become absolute.
    Other values are left as they are."""
    if not hasattr(picture, "save") or not hasattr(picture, "getextrema"):  # Pillow is not imported to find out
        return absolute(picture, ENDINGS)
    packed = io.BytesIO()
    picture.save(packed, format="TIFF" if picture.mode in ("CMYK", "F", "YCbCr", "LAB") else "PNG")
    return {"bytes": packed.getvalue(), "path": None}


def _picture(value: Any, place: str, folder: Path) -> Picture:
    file, name = file_of(value, place, folder, "picture")
    try:
        stored = _as_it_is(file)
        image = in_three_colours(stored)
    except Exception as error:  # a damaged file makes decoders raise whatever they meet
        raise cannot_be_opened(error, place, name, "picture") from error
    digest = hashlib.sha256(f"{image.size}".encode() + image.tobytes())
    return Picture(file, digest.hexdigest(), image.size, stored.mode)
