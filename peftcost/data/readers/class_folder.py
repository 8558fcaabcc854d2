"""Folders of pictures or sounds: one folder a class, with further folders in it or not, or files alone."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from peftcost.data.images import ENDINGS as PICTURES
from peftcost.data.media import class_folders, files_below, files_in, other_files
from peftcost.data.readers.base import Reader, Source
from peftcost.data.sounds import ENDINGS as SOUNDS
from peftcost.data.split_folder import are_splits
from peftcost.data.table import Rejects, Table
from peftcost.errors import UserError


class ClassFolder(Reader):
    """The columns are `column` (the file's path from the folder) and, where there is one folder a class, "label" (its name).

    kind: what a file is called. media_endings: that such files have.
    """

    endings = ()
    kind: ClassVar[str]
    column: ClassVar[str]
    media_endings: ClassVar[tuple[str, ...]]

    def recognises(self, source: Source) -> bool:
        if source.folder is None:
            return False
        own = count(source.folder, self.media_endings)
        other_kinds = [endings for endings in (PICTURES, SOUNDS) if endings != self.media_endings]
        return own > 0 and all(own >= count(source.folder, endings) for endings in other_kinds)

    def read(self, source: Source, reject: Rejects) -> Table:
        folder, endings = source.folder, self.media_endings
        assert folder is not None
        classes, alone = class_folders(folder, endings), files_in(folder, endings)
        if classes and alone:
            raise UserError(
                f"{source.name} holds {self.kind}s ({alone[0].name}, …) beside folders of them ({classes[0].name}, …); put "
                f"each {self.kind} into the folder of its class."
            )
        if are_splits([one.name for one in classes]):
            raise UserError(
                f"{source.name} holds a folder for each split, but no folders of classes in these; make them, or give a "
                f"table of each split's files and labels as the data (its column of files is `{self.column}`)."
            )
        if classes:
            files = [(path, one) for one in classes for path in files_below(one, endings)]
            rows = [{self.column: _inside(path, folder), "label": one.name} for path, one in files]
            deeper = sum(path.parent != one for path, one in files)
            within = f"; {deeper:,} lie in folders further down" if deeper else ""
            named = f"{len(classes)} folders, whose names are the labels" if len(classes) > 1 else "1 folder, its label"
            notes = [f"{source.name}: {len(rows):,} {self.kind}{'s' * (len(rows) > 1)} in {named}{within}."]
        else:
            rows, notes = [{self.column: path.name} for path in alone], []
        others = other_files(folder, endings)
        if others:
            shown = ", ".join(_inside(path, folder) for path in others[:3])
            notes.append(f"{source.name}: {len(others)} files or folders hold no {self.kind}s and are left out ({shown}).")
        return Table(source.name, list(rows[0]), rows, list(range(1, len(rows) + 1)), unit=self.kind, notes=notes)


def count(folder: Path, endings: tuple[str, ...]) -> int:
    """Of files in a folder and in the folders of its classes."""
    classes = class_folders(folder, endings)
    return len(files_in(folder, endings)) + sum(len(files_below(one, endings)) for one in classes)


def _inside(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()
