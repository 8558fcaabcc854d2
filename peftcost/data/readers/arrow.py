"""Parquet, Arrow and Feather files, and folders that `datasets` saved."""

from __future__ import annotations

from typing import Any

from peftcost.data.readers.base import Reader, Source
from peftcost.data.table import Rejects, Table
from peftcost.errors import UserError, first_line


class Parquet(Reader):
    """Read by pyarrow."""

    name = "Parquet"
    endings = (".parquet", ".pq")
    shape = "a column for the text and one for the label"

    def recognises(self, source: Source) -> bool:
        return source.raw.startswith(b"PAR1")

    def read(self, source: Source, reject: Rejects) -> Table:
        import pyarrow
        import pyarrow.parquet

        try:
            table = pyarrow.parquet.read_table(pyarrow.BufferReader(source.raw))
            check_whole(table)
        except Exception as error:  # pyarrow raises its own errors, OSError, ValueError and what damaged counts lead to
            raise UserError(f"{source.name} is no readable Parquet file ({first_line(error)}); write it again.") from error
        return _from_arrow(source.name, table)


class Arrow(Reader):
    """An IPC file (Feather) or an IPC stream, as `datasets` caches it."""

    name = "Arrow"
    endings = (".arrow", ".feather", ".ipc")
    shape = Parquet.shape

    def recognises(self, source: Source) -> bool:
        return source.raw.startswith(b"ARROW1")

    def read(self, source: Source, reject: Rejects) -> Table:
        import pyarrow

        opened = pyarrow.ipc.open_file if source.raw.startswith(b"ARROW1") else pyarrow.ipc.open_stream
        try:
            table = opened(pyarrow.BufferReader(source.raw)).read_all()
            check_whole(table)
        except Exception as error:  # as for Parquet
            raise UserError(f"{source.name} is no readable Arrow file ({first_line(error)}); write it again.") from error
        return _from_arrow(source.name, table)


class SavedDataset(Reader):
    """What `Dataset.save_to_disk` wrote."""

    name = "a folder that `datasets` saved"
    endings = ()
    shape = Parquet.shape

    def recognises(self, source: Source) -> bool:
        folder = source.folder
        return folder is not None and any((folder / name).exists() for name in ("state.json", "dataset_dict.json"))

    def read(self, source: Source, reject: Rejects) -> Table:
        import datasets

        assert source.folder is not None
        if (source.folder / "dataset_dict.json").exists():
            splits = sorted(p.name for p in source.folder.iterdir() if (p / "state.json").exists())
            raise UserError(
                f"{source.name} holds several splits ({', '.join(splits)}); name them one by one in task.yaml, as in "
                f"data: {{train: {source.folder / (splits[0] if splits else 'train')}, …}}."
            )
        try:
            dataset = datasets.load_from_disk(str(source.folder))
        except Exception as error:  # datasets raises what Arrow, JSON or the file system raise
            raise UserError(f"{source.name} is no readable datasets folder ({first_line(error)}); save it again.") from error
        return _from_dataset(source.name, dataset)


def check_whole(table: Any) -> None:
    """Any of pyarrow's errors for damaged offsets, which would abort the process later, and names that are no UTF-8."""
    table.validate(full=True)
    _ = table.column_names


def _from_arrow(path: str, table: Any) -> Table:
    """Rows of a `pyarrow.Table`, class ids replaced by their names where `datasets` noted them."""
    from datasets import Dataset
    from datasets.table import InMemoryTable

    for i, name in enumerate(table.column_names):
        if name in table.column_names[:i]:
            raise UserError(f"{path}: the column name {name!r} stands twice; rename one of them.")
    try:
        dataset = Dataset(InMemoryTable(table), fingerprint="read")  # else it would hash all that it holds
    except Exception:  # what another writer noted as features, or types that `datasets` does not know
        return _table(path, table.column_names, _rows(path, table.to_pylist))
    return _from_dataset(path, dataset)


def _from_dataset(path: str, dataset: Any) -> Table:
    rows = _rows(path, lambda: dataset.with_format(None).to_list())
    for column, feature in dataset.features.items():
        known = _class_names(feature)
        if known is not None:
            for row in rows:
                row[column] = _named(row[column], known)
    return _table(path, dataset.column_names, rows)


def _rows(path: str, listed: Any) -> list[dict[str, Any]]:
    try:
        return list(listed())
    except Exception as error:  # text that is no UTF-8, dates out of range
        raise UserError(f"{path} holds values that cannot be read ({first_line(error)}); write it again.") from error


def _table(path: str, columns: Any, rows: list[dict[str, Any]]) -> Table:
    notes = []
    for column in columns:
        first = next((row[column] for row in rows if row[column] is not None), None)
        texts = _as_texts([row[column] for row in rows]) if isinstance(first, bytes) else None
        if texts is not None:
            notes.append(f"{path}: the column {column!r} holds bytes, all of which are UTF-8; it is read as text.")
            for row, text in zip(rows, texts, strict=True):
                row[column] = text
    return Table(path, list(columns), rows, list(range(1, len(rows) + 1)), unit="row", notes=notes)


def _as_texts(cells: list[Any]) -> list[str | None] | None:
    """What cells of bytes say where all are UTF-8 without zeros, as of writers that leave a column's type open; else None."""
    if not all(isinstance(cell, bytes) for cell in cells if cell is not None):
        return None
    try:
        texts = [None if cell is None else cell.decode() for cell in cells]
    except UnicodeDecodeError:
        return None
    return None if any("\0" in text for text in texts if text) else texts


def _class_names(feature: Any) -> list[str] | None:
    names = getattr(feature, "names", None) or getattr(getattr(feature, "feature", None), "names", None)
    return list(names) if names else None


def _named(value: Any, names: list[str]) -> Any:
    if isinstance(value, list):
        return [_named(v, names) for v in value]
    # -1 is how datasets marks an unlabelled row
    return names[value] if isinstance(value, int) and 0 <= value < len(names) else None
