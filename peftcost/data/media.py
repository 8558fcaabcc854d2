"""What pictures and sounds share as data: files and bytes in cells, and folders of files with one folder a class."""

from __future__ import annotations

import base64
import io
import os
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from peftcost.errors import UserError, first_line

T = TypeVar("T")
INLINE = "data:;base64,"
"""What stands before the bytes of what is no file, as in a data URI."""
METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
"""What the table of a folder's files may be called, which lies right in it."""
BROWSER_FILES = ("thumbs.db", "desktop.ini")
ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)


def in_threads(one: Callable[..., T], *values: Sequence[Any]) -> list[T]:
    """one(…) of each, in order: decoders leave Python's lock."""
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        return list(pool.map(one, *values))


def has_ending(path: Any, endings: tuple[str, ...]) -> bool:
    """Whether this is the path of such a file."""
    return isinstance(path, str | Path) and str(path).strip().lower().endswith(endings)


def has_bytes(value: Any) -> bool:
    """Whether a cell is a mapping with "bytes" and "path", as `datasets` writes pictures and sounds."""
    is_one = isinstance(value, dict) and set(value) == {"bytes", "path"}
    return is_one and (value["bytes"] is None or packed_of(value) is not None)


def packed_of(value: dict[str, Any]) -> bytes | None:
    """The bytes in such a mapping; JSON has them in base64, or as a list of numbers. None where there are none."""
    packed = value.get("bytes")
    try:
        if isinstance(packed, str):
            return base64.b64decode("".join(packed.split()), validate=True)
        return bytes(packed) if isinstance(packed, bytes | bytearray | list) else None
    except (TypeError, ValueError):
        return None


def absolute(value: Any, endings: tuple[str, ...]) -> Any:
    """A path from a Python caller's working directory, as a cell; other values are left as they are."""
    path = value["path"] if has_bytes(value) and not value["bytes"] else value
    if has_ending(path, endings) and os.path.isfile(path):
        return str(Path(path).absolute())
    return str(value.absolute()) if isinstance(value, Path) else value


def file_of(value: Any, place: str, folder: Path, kind: str) -> tuple[str, str]:
    """The file of a cell, or its bytes as a data URI, and what to call it. A cell holds a path, which is relative to
    `folder`, or a mapping as above. kind: picture, sound. UserError with the place where there is none."""
    path = value.get("path") if isinstance(value, dict) else value
    if isinstance(value, dict) and value.get("bytes"):
        packed = packed_of(value)
        if packed is None:
            raise UserError(f"{place}: the {kind}'s bytes are neither bytes nor base64; write them again or remove the row.")
        return INLINE + base64.b64encode(packed).decode("ascii"), str(path or f"the {kind}")
    if path is None or (isinstance(path, float) and path != path) or (isinstance(path, str) and not path.strip()):
        raise UserError(f"{place}: the {kind} is missing; fill it in or remove the row.")
    if not isinstance(path, str):
        raise UserError(f"{place}: expected a {kind}'s path, but got {path!r} ({type(path).__name__}).")
    if is_address(path):
        raise not_fetched(place, f"{path} is an address", kind)
    return str((folder / Path(path.strip()).expanduser()).absolute()), path


def is_address(value: Any) -> bool:
    """Whether a cell is an address (https://…, s3://…) and no path."""
    return isinstance(value, str) and ADDRESS.match(value.strip()) is not None


def not_fetched(place: str, what: str, kind: str, instead: str = "") -> UserError:
    """The sentence for files that lie elsewhere. what: stands there instead of paths. instead: what else one can do."""
    how = ", with img2dataset for example," if kind == "picture" else ""
    return UserError(
        f"{place}: {what}, and nothing is fetched; download the {kind}s first{how} and name the column of paths{instead}."
    )


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
    return sorted(path for path in folder.iterdir() if not path.name.startswith(".") and _has_kind(path, endings))


def files_below(folder: Path, endings: tuple[str, ...]) -> list[Path]:
    """As `files_in`, at any depth."""
    return sorted(path for path in _below(folder) if _has_kind(path, endings))


def class_folders(folder: Path, endings: tuple[str, ...]) -> list[Path]:
    """The folders in a folder that hold such files, at any depth. None where no file lies right in one of them: then they
    hold classes, but are none."""
    inside = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    are_classes = any(files_in(path, endings) for path in inside)
    return [path for path in inside if any(_has_kind(one, endings) for one in _below(path))] if are_classes else []


def other_files(folder: Path, endings: tuple[str, ...]) -> list[Path]:
    """What else lies in a folder and, at any depth, in the folders of its classes, but for what file browsers leave there."""
    classes = class_folders(folder, endings)
    beside = sorted(path for path in folder.iterdir() if not path.name.startswith(".") and path not in classes)
    below = [path for one in classes for path in sorted(_below(one))]
    return _of_other_kinds([*beside, *below], endings)


def others_below(folder: Path, endings: tuple[str, ...]) -> list[Path]:
    """What a folder holds at any depth beside such files, but for what file browsers leave there."""
    return _of_other_kinds(sorted(_below(folder)), endings)


def metadata_of(folder: Path) -> Path | None:
    """The table of a folder's files. UserError where there are two."""
    found = [path for name in METADATA if (path := folder / name).is_file()]
    if len(found) > 1:
        raise UserError(f"{folder} holds {' and '.join(path.name for path in found)}; keep the one that is right.")
    return next(iter(found), None)


def _of_other_kinds(paths: Sequence[Path], endings: tuple[str, ...]) -> list[Path]:
    others = (path for path in paths if not _has_kind(path, endings))
    return [path for path in others if path.name.lower() not in BROWSER_FILES]


def _has_kind(path: Path, endings: tuple[str, ...]) -> bool:
    return path.suffix.lower() in endings and path.is_file()


def _below(folder: Path) -> Iterator[Path]:
    """What lies in a folder at any depth, but for what is hidden. Links to folders are not followed."""
    try:
        entries = list(os.scandir(folder))
    except OSError as error:
        raise UserError(f"{folder} cannot be read ({error.strerror}); check its permissions.") from error
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _below(Path(entry.path))
        else:
            yield Path(entry.path)


def _said(error: Exception) -> str:
    """The first line, without the file's name, which decoders put in."""
    return first_line(error).split(" '")[0].split(" <")[0]
