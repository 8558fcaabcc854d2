"""Parquet files that are parts of one split, as repositories of `datasets` hold them: train-00000-of-00002.parquet."""

from __future__ import annotations

import os
import re
from pathlib import Path

from peftcost.errors import UserError

SHARD = re.compile(r"(.+)-(\d{5})-of-(\d{5})(?:-[0-9a-f]{16})?\.parquet")
ALL = "-*.parquet"
"""What stands behind the name of a split for all of its shards: data/train-*.parquet."""
BESIDE = ("", ".md", ".py", ".json", ".yaml")
"""Endings of what such a repository holds beside its data."""


def shards_of(path: Path) -> list[Path]:
    """The shards that a path stands for, in order: FOLDER/NAME-*.parquet, or the folder where all have one name; [] for
    another path. UserError for a folder with shards of several names."""
    if path.name.endswith(ALL):
        return shards_in(path.parent).get(path, [])
    found = shards_in(path)
    if len(found) > 1:
        raise UserError(
            f"{path} holds several splits ({', '.join(map(name_of, found))}); give one of them, as in {next(iter(found))}."
        )
    return next(iter(found.values()), [])


def shards_in(folder: Path) -> dict[Path, list[Path]]:
    """The shards in a folder or in its folder `data`, by the path that stands for those of one name; {} where there is other
    data, too. UserError where one is missing or stands there twice."""
    return _shards_right_in(folder) or _shards_right_in(folder / "data")


def name_of(shards: Path) -> str:
    """The name of the split that such a path stands for."""
    return shards.name.removesuffix(ALL)


def _shards_right_in(folder: Path) -> dict[Path, list[Path]]:
    found: dict[Path, list[re.Match[str]]] = {}
    for path in sorted(folder.iterdir()) if os.path.isdir(folder) else []:
        shard = SHARD.fullmatch(path.name)
        if shard is not None:
            found.setdefault(folder / f"{shard[1]}{ALL}", []).append(shard)
        elif path.suffix not in BESIDE and not path.name.startswith(".") and path.is_file():
            return {}
    for shards in found.values():
        total = int(shards[0][3])
        if [(int(shard[2]), int(shard[3])) for shard in shards] != [(i, total) for i in range(total)]:
            raise UserError(
                f"{folder} does not hold each of the {total} shards {shards[0][1]}-…-of-{shards[0][3]}.parquet once; copy "
                "the data set again."
            )
    return {path: [folder / shard.string for shard in shards] for path, shards in found.items()}
