"""Folders that hold a file, a saved data set or folders of pictures or sounds for each split."""

from __future__ import annotations

from pathlib import Path

from peftcost.data.images import ENDINGS as PICTURES
from peftcost.data.media import class_folders
from peftcost.data.sounds import ENDINGS as SOUNDS
from peftcost.errors import UserError

NAMES = {"train": ("train", "training"), "dev": ("dev", "validation", "valid", "val"), "test": ("test", "eval")}
"""What a split's file or folder may be called."""
STATE = "state.json"


def splits_of_folder(folder: Path) -> dict[str, str]:
    """The path of each split: of a `DatasetDict`, or of files, or of folders of pictures or sounds by class, called
    train, dev (or validation, …) and test; {} if none is called train. UserError where two could be one split."""
    if not folder.is_dir() or (folder / STATE).exists():
        return {}
    found: dict[str, str] = {}
    for split, names in NAMES.items():
        paths = [path for path in sorted(folder.iterdir()) if path.name.split(".")[0] in names and _is_data(path)]
        if len(paths) > 1:
            raise UserError(
                f"{folder} holds {', '.join(path.name for path in paths)}, each of which may be the {split} split; name one "
                f"in task.yaml, as in data: {{train: {paths[0]}, …}}."
            )
        if paths:
            found[split] = str(paths[0])
    return found if "train" in found else {}


def _is_data(path: Path) -> bool:
    return (
        (path / STATE).exists() or bool(class_folders(path, PICTURES + SOUNDS))
        if path.is_dir()
        else path.suffix not in ("", ".md", ".py", ".yaml", ".txt~")
    )
