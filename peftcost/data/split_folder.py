"""Folders that hold a file, shards, a saved data set, or pictures or sounds for each split."""

from __future__ import annotations

import os
from collections.abc import Collection
from itertools import chain
from pathlib import Path

from peftcost.data.images import ENDINGS as PICTURES
from peftcost.data.media import class_folders, metadata_of
from peftcost.data.shards import name_of, shards_in
from peftcost.data.sounds import ENDINGS as SOUNDS
from peftcost.errors import UserError

NAMES = {"train": ("train", "training"), "dev": ("dev", "validation", "valid", "val"), "test": ("test", "testing", "eval")}
"""What a split's file or folder may be called."""
STATE = "state.json"
TABLES = (".csv", ".tsv", ".txt", ".json", ".jsonl", ".ndjson", ".parquet", ".arrow", ".feather", ".conll", ".gz")
ABOUT = ("dataset_info", "dataset_infos", "dataset_dict", "metadata", "readme", "license", "requirements")
"""Files of these names, without their endings, are about the data."""


def are_splits(names: Collection[str]) -> bool:
    """Whether several files or folders are all called as splits."""
    return len(names) > 1 and {name.lower() for name in names} <= set(chain(*NAMES.values()))


def train_file(source: str | Path) -> str:
    """The train split of a folder that holds several; any other source as it is."""
    return splits_of_folder(Path(source)).get("train", str(source))


def splits_of_folder(folder: Path) -> dict[str, str]:
    """The path of each split: of a `DatasetDict`, or of files, or of shards (in the folder `data`, too), or of folders of
    pictures or sounds, by class or with a table of them, called train, dev (or validation, …) and test; {} if none is called
    train. UserError where two could be one split."""
    if not os.path.isdir(folder) or (folder / STATE).exists():  # unlike pathlib's, it takes a path that is too long
        return {}
    named = {path: path.name.split(".")[0].lower() for path in sorted(folder.iterdir())}
    shards = {path: name_of(path) for path in shards_in(folder)}
    found: dict[str, str] = {}
    for split, names in NAMES.items():
        paths = [path for path, name in named.items() if name in names and _is_data(path)]
        paths += [path for path, name in shards.items() if name in names]
        if len(paths) > 1:
            raise UserError(
                f"{folder} holds {', '.join(path.name for path in paths)}, each of which may be the {split} split; name one "
                f"in task.yaml, as in data: {{{'' if split == 'train' else 'train: …, '}{split}: {paths[0]}}}."
            )
        if paths:
            found[split] = str(paths[0])
    return found if "train" in found else {}


def passed_over(folder: Path) -> list[str]:
    """What to tell of the tables in a folder of splits that are none by their names."""
    found = splits_of_folder(folder)
    if not found:
        return []
    splits = {Path(path).name for path in found.values()}
    others = [name for name in tables_in(folder) if name not in splits]
    if not others:
        return []
    are = "is no split by its name and is" if len(others) == 1 else "are no splits by their names and are"
    return [f"{folder}: {', '.join(others)} {are} not used; call a split train, dev or test, or name the files in task.yaml."]


def tables_in(folder: Path) -> list[str]:
    """The names of a folder's tables, shards and files about the data apart."""
    shards = set(shards_in(folder))
    return [
        path.name
        for path in sorted(folder.iterdir())
        if path.suffix.lower() in TABLES and path not in shards and path.name.split(".")[0].lower() not in ("", *ABOUT)
    ]


def _is_data(path: Path) -> bool:
    return (
        (path / STATE).exists() or bool(class_folders(path, PICTURES + SOUNDS)) or metadata_of(path) is not None
        if path.is_dir()
        else path.suffix not in ("", ".md", ".py", ".yaml", ".txt~")
    )
