"""Folders of pictures or sounds with a table that names them, as `datasets` reads an "imagefolder" or an "audiofolder"."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from peftcost.data import images, sounds
from peftcost.data.cells import is_blank
from peftcost.data.guess import LABEL_NAMES, holds
from peftcost.data.media import files_below, has_ending, others_below
from peftcost.data.split_folder import are_splits
from peftcost.data.table import Rejects, Table
from peftcost.errors import UserError

FILE_NAME = "file_name"
"""The column of paths from the table's folder; where there are several, what their names end with."""
FOLDER = "folder"
"""The column of the folders that the files lie in, which may be their classes."""


def of_named_files(table: Table, folder: Path, name: str, reject: Rejects) -> Table | None:
    """The table of the files in a folder; None where it names no pictures or sounds, or tells nothing of them.

    name: the folder's, for messages. A file without a row goes to `reject`; a row without a file is told where it is read.
    """
    columns = [column for column in table.columns if column.endswith(FILE_NAME) and holds(table, column, str)]
    named = [_path(row[column]) for row in table.rows for column in columns if not is_blank(row.get(column))]
    pictures, heard = (sum(has_ending(path, endings) for path in named) for endings in (images.ENDINGS, sounds.ENDINGS))
    if not (pictures or heard) or len(columns) == len(table.columns):
        return None
    kind, endings = ("picture", images.ENDINGS) if pictures >= heard else ("sound", sounds.ENDINGS)
    own = Path(table.path).name
    files, known = [_inside(path, folder) for path in files_below(folder, endings)], set(named)
    for file in files:
        if file not in known:
            reject(f"{name}/{file}: {own} has no row for this {kind}; add one, or take the file out of the folder.")
    told = [f"{name}: its {kind}s are those that {own} names."]
    others = [file for path in others_below(folder, endings) if (file := _inside(path, folder)) != own]
    if others:
        told.append(f"{name}: {len(others)} files hold no {kind}s and are left out ({', '.join(others[:3])}).")
    return _with_folders(replace(table, notes=[*table.notes, *told]), columns[0], files)


def _with_folders(table: Table, column: str, files: Sequence[str]) -> Table:
    """The table with the files' folders as a column, where no column is called like labels and these may be the classes.
    UserError where they are splits."""
    folders = {file.split("/")[0] for file in files if "/" in file}
    if are_splits(folders):
        raise UserError(
            f"{table.path} names files in a folder for each split ({', '.join(sorted(folders))}); write the rows of each "
            f"split into a {Path(table.path).name} in its folder, with paths from there."
        )
    if len(folders) < 2 or any(name.lower() in (FOLDER, *LABEL_NAMES) for name in table.columns):
        return table
    rows = [{**row, FOLDER: _path(row.get(column)).rpartition("/")[0].split("/")[0] or None} for row in table.rows]
    return replace(table, columns=[*table.columns, FOLDER], rows=rows)


def _path(cell: Any) -> str:
    return "" if is_blank(cell) else posixpath.normpath(str(cell).strip())


def _inside(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()
