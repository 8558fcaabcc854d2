"""Uses a trained folder on new rows, in a worker: the caller's process stays as it was."""

from __future__ import annotations

import csv
import json
import math
import os
import sys
import tempfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from peftcost.cost.device import choose_devices
from peftcost.data.builtin import PREFIX
from peftcost.data.fingerprint import looks_like_a_path, model_fingerprint, read_fields, resolve_model
from peftcost.data.media import METADATA, has_bytes
from peftcost.data.readers import STANDARD_INPUT, read_table
from peftcost.errors import UserError
from peftcost.runner.books import Books
from peftcost.runner.executor import LocalExecutor
from peftcost.runner.runner import Runner
from peftcost.runner.worker_log import worker_log
from peftcost.store.journal import Journal
from peftcost.store.outputs import cannot_be_written, written_aside
from peftcost.task.inputs import inputs_of
from peftcost.task.rows import usable_rows
from peftcost.tasks import Example, get_task_type

AS_CSV = {"": ",", ".csv": ",", ".txt": ",", ".tsv": "\t"}
"""Endings of files that are written as cells, with what separates these."""
AS_JSON_LINES = (".jsonl", ".ndjson")
CARD_FIELDS = (
    *(
        f"dataset_info.{name}"
        for name in ("model", "task", "metric", "targets.kind", "padding", "max_positions", "max_length")
    ),
    *(f"setup.{name}" for name in ("method", "hyperparameters", "stop_examples")),
    "columns",
)
FIELDS = {
    "config.json": ("model_type",),
    "adapter_config.json": ("peft_type",),
    "houlsby.json": ("bottleneck",),
    "tokenizer_config.json": (),
    "preprocessor_config.json": (),
}
"""Files beside the card that a folder may have, and what they cannot do without."""
AGAIN = "copy the whole folder again, or train it anew"
"""What to do with a damaged one."""
OURS = "predicted_"
"""What stands before the name of a role, and before any name of ours that the user's file has, too."""


@dataclass(frozen=True)
class Predicted:
    """rows: how many were written. rejected: those that were left out. notes: what was found out in reading."""

    rows: int
    rejected: list[str]
    notes: list[str]


def predict(folder: Path, data: str | Path, out: Path, skip_bad_rows: bool = False) -> Predicted:
    """Write the rows of the data file (or of standard input, "-") with what the model says of each behind its own columns:
    predicted_label (or predicted_tags) and probabilities. A CSV, or JSON lines if `out` ends in .jsonl.

    The file needs the input column of the task (or one called like its role); a label column is not looked at. UserError for
    a row that cannot be used, unless such rows are skipped, and where `out` is there and no earlier output of ours.
    """
    card = read_card(folder)
    check_out(Path(data), out)
    table = read_table(data, skip_bad_rows)
    task = card["dataset_info"]["task"]
    kind = get_task_type(task)
    check_is_ours(out, renamed(dict.fromkeys(kind.described), table.columns, kind.roles))
    examples, used, rejected = usable_rows(partial(inputs_of, task=task, columns=card["columns"]), table, skip_bad_rows)
    described = described_in_worker(folder, card, examples, None)
    rows = [
        {**named(table.rows[i]), **renamed(said, table.columns, kind.roles)} for i, said in zip(used, described, strict=True)
    ]
    nulled = write_rows(out, list(dict.fromkeys([*table.columns, *(name for row in rows for name in row)])), rows)
    return Predicted(len(rows), rejected, table.notes + nulled)


def read_card(folder: Path) -> dict[str, Any]:
    """What `peftcost.json` says of a trained folder; UserError for another folder."""
    card_file = folder / "peftcost.json"
    if not folder.is_dir():
        raise UserError(f"There is no folder {folder}; give a folder that `peftcost train … -o DIR` wrote.")
    if not card_file.is_file():
        raise UserError(f"{folder} has no peftcost.json; give a folder that `peftcost train … -o DIR` wrote.")
    card = read_json(card_file, CARD_FIELDS)
    for name, fields in FIELDS.items():
        if (folder / name).is_file():
            read_json(folder / name, fields)
    check_weights(folder)
    return card


def read_json(file: Path, fields: Collection[str] = ()) -> dict[str, Any]:
    """The fields of a JSON file of a trained folder. UserError where it is damaged, or lacks one of these (of a field's own:
    "setup.method")."""
    found = read_fields(file, AGAIN)
    lacking = next((field for field in fields if not has_field(found, field)), None)
    if lacking is not None:
        raise damaged(file, f"it lacks {lacking!r}")
    return found


def damaged(file: Path, wrong: str) -> UserError:
    """What to raise of a file of a trained folder."""
    return UserError(f"{file} is damaged ({wrong}); {AGAIN}.")


def has_field(found: Any, field: str) -> bool:
    """Whether these fields have one of this name, "outer.inner" too."""
    name, _, inner = field.partition(".")
    return isinstance(found, dict) and name in found and (not inner or has_field(found[name], inner))


def check_weights(folder: Path) -> None:
    """UserError where no file of weights is whole: a copy that was broken off."""
    files = sorted(folder.glob("*.safetensors"))
    broken = next((file for file in files if not is_whole(file)), None)
    if broken is not None or not files:
        raise UserError(f"{broken or f'{folder} has no weights (.safetensors), so it'} is not whole; copy the folder again.")


def is_whole(file: Path) -> bool:
    """Whether a safetensors file is as long as its header says; what stands in it is not read."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="numpy"):
            return True
    except (SafetensorError, OSError):
        return False


def described_in_worker(
    folder: Path, card: dict[str, Any], examples: Sequence[Example], devices: str | None
) -> list[dict[str, Any]]:
    """What the model says of each unlabelled example, as its task type describes it."""
    found = run_in_worker("predict", {"folder": str(folder), "card": card, "examples": list(examples)}, devices)
    return list(found["rows"])


def predicted_rows(folder: Path, card: dict[str, Any], examples: Sequence[Example], devices: str | None) -> np.ndarray:
    """What a metric needs of each labelled example and of what the model in a trained folder says of it, shape (n, k)."""
    with tempfile.TemporaryDirectory(prefix="peftcost-evaluate-") as scratch:
        out = Path(scratch) / "rows.npy"
        payload = {"folder": str(folder), "card": card, "examples": list(examples), "out": str(out)}
        run_in_worker("evaluate", payload, devices)
        return np.asarray(np.load(out))


def run_in_worker(job: str, payload: dict[str, Any], devices: str | None) -> dict[str, Any]:
    """What a worker on one device makes of a job. payload: with a trained folder and its card."""
    card = with_base_found(Path(payload["folder"]), payload["card"])
    with worker_log() as log, LocalExecutor(choose_devices(devices)[:1], log) as executor:
        runner = Runner(executor, Journal(), Books())
        runner.acquire()
        found = runner.run_one(job, {**payload, "card": card})
        runner.release()
    return found


def with_base_found(folder: Path, card: dict[str, Any]) -> dict[str, Any]:
    """The card of a trained folder with the base's folder on this machine; a whole model is its own base."""
    info = card["dataset_info"]
    found = folder if (folder / "config.json").is_file() else base_of(folder, **card.get("base", {"name": info["model"]}))
    return {**card, "dataset_info": {**info, "model": str(found.absolute())}}


def base_of(folder: Path, name: str, revision: str | None = None, fingerprint: str | None = None) -> Path:
    """Where the base of an adapter lies. UserError where it is not to be found, or is not what the adapter was trained on."""
    known = name if fingerprint is None else f"{name} (fingerprint {fingerprint[:12]})"
    if looks_like_a_path(name) and not Path(name).is_dir():
        raise UserError(
            f"{folder} goes with the base {known}, which is not there; put it there, or write where it lies as the base's "
            f"name into {folder / 'peftcost.json'}."
        )
    found = resolve_model(name, revision=revision)
    is_fixed = revision is not None or name.startswith(PREFIX)
    if fingerprint is not None and not is_fixed and model_fingerprint(found) != fingerprint:
        raise UserError(f"{folder} goes with the base {known}, but {found} has changed since; put back what was there.")
    return found


def check_out(data: Path, out: Path) -> None:
    """UserError if the file cannot be written, or is the data file, which would be lost with its labels."""
    if str(out) == STANDARD_INPUT:
        raise UserError("Predictions are written into a file; say -o out.csv, or -o /dev/stdout.")
    if not out.absolute().parent.is_dir():
        raise UserError(f"{out} cannot be written: there is no folder {out.absolute().parent}; choose another -o.")
    if out.is_dir():
        raise UserError(f"{out} is a folder; say which file in it, as -o {out / 'out.csv'}.")
    if not os.access(out if out.exists() else out.absolute().parent, os.W_OK):
        raise UserError(f"{out} cannot be written: it is read-only; choose another -o.")
    if out.suffix.lower() not in (*AS_CSV, *AS_JSON_LINES):
        raise UserError(f"{out}: predictions are written as .csv, .tsv or .jsonl; choose another -o.")
    if out.is_file() and is_read(data, out):
        raise UserError(f"{out} is the data file itself, which would be overwritten; choose another -o.")
    if out.name in METADATA and out.exists() and data.is_dir() and out.resolve().is_relative_to(data.resolve()):
        raise UserError(f"{out} is the table of the files in {data}, which would be overwritten; choose another -o.")


def check_is_ours(out: Path, names: Collection[str]) -> None:
    """UserError for a file that is there already, unless it is empty or has the columns of these names, which predicting
    adds: it may be the only copy of somebody's labels. Streams are no files."""
    if out.is_relative_to("/dev") or not out.is_file() or not out.stat().st_size:
        return
    columns = columns_written(out)
    lacking = next((name for name in names if name not in columns), None)
    if lacking is not None:
        raise UserError(
            f"{out} is there already, and `peftcost predict` did not write it (it has no column {lacking!r}), so it is not "
            "overwritten; choose another -o, or remove it."
        )


def columns_written(out: Path) -> list[str]:
    """The columns that the first line of such a file tells; none where it is of another form."""
    try:
        with out.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            if out.suffix.lower() not in AS_JSON_LINES:
                return next(csv.reader(file, delimiter=AS_CSV[out.suffix.lower()]), [])
            first = json.loads(file.readline())
    except (OSError, ValueError, RecursionError, csv.Error):
        return []
    return list(first) if isinstance(first, dict) else []


def is_read(data: Path, out: Path) -> bool:
    """Whether this file is what is read, also as standard input."""
    if str(data) != STANDARD_INPUT:
        return os.path.exists(data) and out.samefile(data)
    try:
        return os.path.samestat(os.fstat(sys.stdin.fileno()), out.stat())
    except (OSError, ValueError):  # no file at all
        return False


def renamed(said: dict[str, Any], columns: list[str], roles: tuple[str, ...]) -> dict[str, Any]:
    """What the model says, under names that the user's columns and the task's roles do not have; numbers to six digits."""
    return {
        free_name(OURS + name if name in roles else name, columns): round(value, 6) if isinstance(value, float) else value
        for name, value in said.items()
    }


def free_name(name: str, columns: list[str]) -> str:
    """The name with OURS before it as often as it takes to be none of the columns: two models one behind the other."""
    return free_name(OURS + name, columns) if name in columns else name


def named(row: dict[str, Any]) -> dict[str, Any]:
    """The row with the name of a picture or a sound in place of its bytes."""
    return {name: value["path"] if has_bytes(value) else value for name, value in row.items()}


def write_rows(out: Path, columns: list[str], rows: list[dict[str, Any]]) -> list[str]:
    """One row an input, the user's columns first. Returns a sentence where JSON could not hold what stands in them."""
    as_lines = out.suffix.lower() in AS_JSON_LINES
    written = [{name: in_json(value) if as_lines else in_cell(value) for name, value in row.items()} for row in rows]
    nulled = [name for name in columns if any(row.get(name) != new.get(name) for row, new in zip(rows, written, strict=True))]
    try:
        with (
            written_aside(out) as aside,
            aside.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file,  # half a surrogate pair
        ):
            if as_lines:
                file.writelines(json.dumps(row, ensure_ascii=False, default=str) + "\n" for row in written)
            else:
                writer = csv.writer(file, delimiter=AS_CSV[out.suffix.lower()])
                writer.writerow(columns)
                writer.writerows([cell(row.get(name)) for name in columns] for row in written)
    except OSError as error:
        raise cannot_be_written(out, error) from error
    shown = ", ".join(map(repr, nulled))
    return [f"{out}: JSON has no NaN and no Infinity, so null is written for them in {shown}."] if nulled else []


def in_json(value: Any) -> Any:
    """The value with null for NaN and infinities, which few readers of JSON take."""
    if isinstance(value, dict):
        return {name: in_json(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [in_json(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def in_cell(value: Any) -> Any:
    """As `in_json` where a CSV's cell is JSON, too."""
    return in_json(value) if isinstance(value, list | dict) else value


def cell(value: Any) -> Any:
    """A value as a CSV cell: lists as JSON, which keeps spaces within an item; NUL, which ends a text for many, escaped."""
    if isinstance(value, str):
        return value.replace("\0", r"\x00")
    return json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, list | dict) else value
