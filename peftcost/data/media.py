"""What pictures and sounds share as data: files and bytes in cells, and folders of files with one folder a class."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from peftcost.errors import UserError, first_line

T = TypeVar("T")
INLINE = "data:;base64,"
"""What stands before the bytes of what is no file, as in a data URI."""
BROWSER_FILES = ("thumbs.db", "desktop.ini")


def in_threads(one: Callable[..., T], *values: Sequence[Any]) -> list[T]:
    """one(…) of each, in order: decoders leave Python's lock."""
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        return list(pool.map(one, *values))


def has_ending(path: Any, endings: tuple[str, ...]) -> bool:
    """Whether this is the path of such a file."""
    return isinstance(path, str | Path) and str(path).strip().lower().endswith(endings)


def has_bytes(value: Any) -> bool:
    """Whether a cell is a mapping with "bytes" and "path", as `datasets` writes pictures and sounds."""
    return isinstance(value, dict) and set(value) == {"bytes", "path"}


def absolute(value: Any, endings: tuple[str, ...]) -> Any:
    """A path from a Python caller's working directory, as a cell; other values are left as they are."""
    path = value["path"] if has_bytes(value) and not value["bytes"] else value
    if has_ending(path, endings) and os.path.isfile(path):
        return str(Path(path).absolute())
    return str(value.absolute()) if isinstance(value, Path) else value


def file_of(value: Any, place: str, folder: Path, kind: str) -> tuple[str, str]:
    """The file of a cell, or its bytes as a data URI, and what to call it. A cell holds a path, which is relative to
    `folder`, or a mapping as above. kind: picture, sound. UserError with the place where there is none."""
    if isinstance(value, dict) and value.get("bytes"):
        packed = bytes(value["bytes"])
        return INLINE + base64.b64encode(packed).decode("ascii"), str(value.get("path") or f"the {kind}")
    path = value.get("path") if isinstance(value, dict) else value
    if path is None or (isinstance(path, float) and path != path) or (isinstance(path, str) and not path.strip()):
        raise UserError(f"{place}: the {kind} is missing; fill it in or remove the row.")
    if not isinstance(path, str):
        raise UserError(f"{place}: expected a {kind}'s path, but got {path!r} ({type(path).__name__}).")
    return str((folder / Path(path.strip()).expanduser()).absolute()), path


def readable(file: str) -> Any:
    """What decoders open of a file or of a data URI."""
    return io.BytesIO(base64.b64decode(file.removeprefix(INLINE))) if file.startswith(INLINE) else file


def cannot_be_opened(error: Exception, place: str, name: str, kind: str) -> UserError:
    """The sentence for a file that is missing or damaged."""
    if isinstance(error, FileNotFoundError):
        return UserError(f"{place}: there is no file {name}; correct the path or remove the row.")
    return UserError(f"{place}: {name} cannot be opened as a {kind} ({_said(error)}); replace the file or remove the row.")


def files_in(folder: Path, endings: tuple[str, ...]) -> list[Path]:
    """The files in a folder that have one of the endings, but for hidden ones."""
    files = (path for path in folder.iterdir() if path.suffix.lower() in endings and not path.name.startswith("."))
    return sorted(path for path in files if path.is_file())


def class_folders(folder: Path, endings: tuple[str, ...]) -> list[Path]:
    """The folders in a folder that hold such files."""
    return sorted(
        path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".") and files_in(path, endings)
    )


def other_files(folder: Path, endings: tuple[str, ...]) -> list[Path]:
    """What else lies in a folder, but for what file browsers leave there."""
    ours = {*files_in(folder, endings), *class_folders(folder, endings)}
    found = (path for path in folder.iterdir() if path not in ours and not path.name.startswith("."))
    return sorted(path for path in found if path.name.lower() not in BROWSER_FILES)


def _said(error: Exception) -> str:
    """The first line, without the file's name, which decoders put in."""
    return first_line(error).split(" '")[0].split(" <")[0]
