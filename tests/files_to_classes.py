"""What the tests of pictures and of sounds do alike."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from peftcost.core.setup import Setup
from peftcost.data.readers import read_table
from peftcost.engine.artifact import predict, write_card
from peftcost.engine.job import NullReporter, TrainJob, prepare_payload
from peftcost.engine.prepare import prepare
from peftcost.engine.train import train
from peftcost.methods import get_method
from peftcost.task.task import Task
from peftcost.tasks.one_file import OneFile


def prepared_for(model: Path, data: Path, **fields: object) -> str:
    """The folder of the prepared data."""
    task = Task(model=str(model), data=str(data), **fields)  # type: ignore[arg-type]
    return str(prepare(prepare_payload(task, 0, str(model), str(model)), NullReporter())["prepared"])


def share_right_by_an_adapter(kind: OneFile, prepared: str, data: Path, stop_examples: int, out: Path) -> float:
    """Of all files in the folders of classes, as a trained LoRA predicts them from its own folder, which holds no
    configuration of a model."""
    setup = Setup.of("lora", {**get_method("lora").prior(), "learning_rate": 1e-2}, stop_examples)
    train(TrainJob(prepared, setup, 1, str(out)), NullReporter())
    folder, columns = out / "model", {kind.role: kind.role, "label": "label"}
    write_card({"prepared": prepared, "setup": setup.as_dict(), "columns": columns, "folder": str(folder)}, NullReporter())
    assert not (folder / "config.json").exists()
    table = read_table(data)
    payload = {"folder": str(folder), "card": json.loads((folder / "peftcost.json").read_text())}
    told = predict({**payload, "examples": kind.read(table, columns, labelled=False)}, NullReporter())["rows"]
    return float(np.mean([said["label"] == row["label"] for said, row in zip(told, table.rows, strict=True)]))
