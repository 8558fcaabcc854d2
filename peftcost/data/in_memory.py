"""Data that a Python caller holds: a data frame, a `datasets.Dataset` or a list of rows becomes a Parquet file."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from peftcost.data import images, sounds
from peftcost.errors import UserError, first_line

SPLIT_NAMES = {"train": "train", "dev": "dev", "validation": "dev", "test": "test"}
"""What splits are called in a mapping (in a `datasets.DatasetDict`, for example), and here."""
ACCEPTED = "a file's path, a pandas data frame, a datasets.Dataset, or a list of dicts"


def files_of(data: Any, folder: Path) -> str | dict[str, str]:
    """Name the files of the data, as a task does: one, or one for each split.

    Args:
        data: A path, a data frame, a `datasets.Dataset`, a list of dicts; or a mapping from split (train, dev or validation,
            test) to one of these.
        folder: Where rows that are in memory are written, as SPLIT.parquet.

    Returns:
        Paths as they were given, and those of what was written.

    Raises:
        UserError: For a split that there is not, and for what is no data.
    """
    if not isinstance(data, Mapping):
        return file_of(data, folder / "train.parquet")
    unknown = [name for name in data if name not in SPLIT_NAMES]
    if unknown:
        raise UserError(f"data has no split {unknown[0]!r}; name them {', '.join(SPLIT_NAMES)}.")
    given = {SPLIT_NAMES[name]: rows for name, rows in data.items() if rows is not None}
    return {name: file_of(rows, folder / f"{name}.parquet") for name, rows in given.items()}


def file_of(rows: Any, path: Path) -> str:
    """The rows' file: itself where a path is given, else `path`, written here. UserError for what is no data."""
    if isinstance(rows, str | Path):
        return str(rows)
    import pyarrow
    from pyarrow import parquet

    if is_of(rows, "datasets", "Dataset"):
        table = rows.with_format("arrow")[:].replace_schema_metadata(rows.features.arrow_schema.metadata)
    else:
        columns = {name: arrow_column(pyarrow, name, values) for name, values in columns_of(rows).items()}
        table = pyarrow.table(columns)
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(table, path)
    return str(path)


def columns_of(rows: Any) -> dict[str, list[Any]]:
    """The values of each column; None where a row has none."""
    if is_of(rows, "pandas", "DataFrame"):
        names = [str(name) for name in rows.columns]
        if len(set(names)) < len(names):
            repeated = next(name for name in names if names.count(name) > 1)
            raise UserError(f"data has two columns {repeated!r}; rename one of them.")
        return {name: rows.iloc[:, i].tolist() for i, name in enumerate(names)}
    if not isinstance(rows, Sequence):
        raise UserError(f"data is a {type(rows).__name__}, but must be {ACCEPTED}.")
    for i, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise UserError(f"data[{i}] is a {type(row).__name__}, but must be a dict from column to value.")
    names = list(dict.fromkeys(str(name) for row in rows for name in row))
    return {name: [row.get(name) for row in rows] for name in names}


def arrow_column(pyarrow: Any, name: str, values: list[Any]) -> Any:
    """A column of one type; NaN counts as missing, and pictures and sounds become their bytes. UserError that names the
    column whose values differ in type, or cannot be kept."""
    try:
        return pyarrow.array([sounds.in_cell(images.in_cell(value)) for value in values], from_pandas=True)
    except (pyarrow.ArrowException, TypeError) as error:
        problem = first_line(error)
        raise UserError(f"The column {name!r} of data holds values of different types ({problem}); give it one.") from error
    except (ValueError, OverflowError) as error:  # half of a surrogate pair, a number beyond 64 bits
        raise UserError(f"The column {name!r} of data holds what cannot be kept ({first_line(error)}).") from error


def is_of(value: Any, module: str, name: str) -> bool:
    """Whether the value is of a library's class. The library is not imported for that: who has a value has it already."""
    kind = getattr(sys.modules.get(module), name, None)
    return kind is not None and isinstance(value, kind)
