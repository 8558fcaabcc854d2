"""Uses a trained folder on new rows, in a worker: the caller's process stays as it was."""

from __future__ import annotations

import csv
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from peftcost.cost.device import choose_devices
from peftcost.errors import UserError
from peftcost.runner.books import Books
from peftcost.runner.executor import LocalExecutor
from peftcost.runner.runner import Runner
from peftcost.store.journal import Journal
from peftcost.task.inputs import read_inputs


def predict(folder: Path, data: Path, out: Path) -> int:
    """Write label and probabilities for each row of the data file to a CSV; returns the number of rows.

    The file needs the input column of the task (or one called like its role); a label column is not looked at.
    """
    card = read_card(folder)
    if not out.absolute().parent.is_dir():
        raise UserError(f"{out} cannot be written: there is no folder {out.absolute().parent}.")
    inputs = read_inputs(data, card["about"]["task"], card["columns"])
    described = described_in_worker(folder, card, inputs, None)
    write_csv(out, inputs, described)
    return len(described)


def read_card(folder: Path) -> dict[str, Any]:
    """What `peftcost.json` says of a trained folder; UserError for another folder."""
    card_file = folder / "peftcost.json"
    if not card_file.is_file():
        raise UserError(f"{folder} has no peftcost.json; give a folder that `peftcost train … -o DIR` wrote.")
    card: dict[str, Any] = json.loads(card_file.read_text(encoding="utf-8"))
    return card


def described_in_worker(
    folder: Path, card: dict[str, Any], inputs: Sequence[Any], devices: str | None
) -> list[dict[str, Any]]:
    """What the model says of each input: of a text its label and probabilities, of tokens their tags and probabilities."""
    chosen, payload = choose_devices(devices)[:1], {"folder": str(folder), "card": card, "inputs": list(inputs)}
    with (
        tempfile.TemporaryDirectory(prefix="peftcost-predict-") as scratch,
        LocalExecutor(chosen, Path(scratch) / "worker.log") as executor,
    ):
        runner = Runner(executor, Journal(), Books())
        runner.acquire()
        found = runner.run_one("predict", payload)
        runner.release()
    return list(found["rows"])


def write_csv(out: Path, inputs: list[Any], described: list[dict[str, Any]]) -> None:
    """One row an input: the input, then what the model says."""
    columns = list(described[0]) if described else []
    try:
        with out.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["input", *columns])
            for content, row in zip(inputs, described, strict=True):
                text = content if isinstance(content, str) else " ".join(content)
                writer.writerow([text, *(cell(row[name]) for name in columns)])
    except OSError as error:
        raise UserError(f"{out} cannot be written ({error.strerror}).") from error


def cell(value: Any) -> Any:
    """A value as a CSV cell: lists with spaces between, probabilities with six digits."""
    if isinstance(value, list):
        return " ".join(map(str, value))
    return f"{value:.6f}" if isinstance(value, float) else value
