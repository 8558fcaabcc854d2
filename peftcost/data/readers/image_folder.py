"""Folders of pictures: one folder a class, or pictures alone."""

from __future__ import annotations

from pathlib import Path

from peftcost.data.images import class_folders, other_files, pictures_in
from peftcost.data.readers.base import Reader, Source
from peftcost.data.table import Rejects, Table
from peftcost.errors import UserError


class ImageFolder(Reader):
    """The columns are "image" (its path from the folder) and, where there is one folder a class, "label" (its name)."""

    name = "a folder of pictures, with one folder a class"
    endings = ()
    shape = "cat/1.png, cat/2.png, dog/1.png, …"

    def recognises(self, source: Source) -> bool:
        return source.folder is not None and bool(pictures_in(source.folder) or class_folders(source.folder))

    def read(self, source: Source, reject: Rejects) -> Table:
        folder = source.folder
        assert folder is not None
        classes, alone = class_folders(folder), pictures_in(folder)
        if classes and alone:
            raise UserError(
                f"{source.name} holds pictures ({alone[0].name}, …) beside folders of them ({classes[0].name}, …); put each "
                "picture into the folder of its class."
            )
        if classes:
            rows = [{"image": _inside(path, folder), "label": path.parent.name} for c in classes for path in pictures_in(c)]
            notes = [f"{source.name}: {len(rows):,} pictures in {len(classes)} folders, whose names are the labels."]
        else:
            rows, notes = [{"image": path.name} for path in alone], []
        others = [path for place in (folder, *classes) for path in other_files(place)]
        if others:
            shown = ", ".join(_inside(path, folder) for path in others[:3])
            notes.append(f"{source.name}: {len(others)} files or folders hold no pictures and are left out ({shown}).")
        return Table(source.name, list(rows[0]), rows, list(range(1, len(rows) + 1)), unit="picture", notes=notes)


def _inside(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()
