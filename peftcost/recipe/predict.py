"""Uses a trained folder on new rows."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

from peftcost.errors import UserError


def predict(folder: Path, data: Path, out: Path) -> int:
    """Write label and probabilities for each row of the data file to a CSV; returns the number of rows.

    The file needs the input column of the task (or one called like its role); a label column is not looked at.
    """
    card_file = folder / "peftcost.json"
    if not card_file.is_file():
        raise UserError(f"{folder} has no peftcost.json; give a folder that `peftcost train … -o DIR` wrote.")
    card = json.loads(card_file.read_text(encoding="utf-8"))
    if not out.absolute().parent.is_dir():
        raise UserError(f"{out} cannot be written: there is no folder {out.absolute().parent}.")
    from peftcost.engine.artifact import describe_rows
    from peftcost.task.inputs import read_inputs
    from peftcost.tasks import get_task_type

    kind = get_task_type(card["dataset_info"]["task"])
    examples = read_inputs(data, kind.name, card["columns"])
    described = describe_rows(folder, card, examples)
    write_csv(out, [[example[role] for role in kind.input_roles] for example in examples], described)
    return len(described)


def write_csv(out: Path, inputs: list[list[Any]], described: list[dict[str, Any]]) -> None:
    """One row an input: the input, then what the model says."""
    columns = list(described[0]) if described else []
    try:
        with out.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["input", *columns])
            for contents, row in zip(inputs, described, strict=True):
                writer.writerow([" ".join(map(cell, contents)), *(cell(row[name]) for name in columns)])
    except OSError as error:
        raise UserError(f"{out} cannot be written ({error.strerror}).") from error


def cell(value: Any) -> Any:
    """A value as a CSV cell: lists with spaces between, probabilities with six digits."""
    if isinstance(value, list):
        return " ".join(map(str, value))
    return f"{value:.6f}" if isinstance(value, float) else value
