"""Short prompts with completions, prepared for a small language model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from peftcost.core.setup import Setup
from peftcost.engine.job import NullReporter, TrainJob, prepare_payload
from peftcost.engine.prepare import prepare
from peftcost.methods import get_method
from peftcost.task.task import Rows, Task

STEPS, BATCH = 48, 8


def prepared_talk(model: Path, folder: Path) -> str:
    """The folder of what is prepared: 76 rows to train on, of 7 to 170 bytes."""
    random = np.random.default_rng(0)
    lines = [
        {"prompt": f"{i} " + "ask " * int(random.integers(1, 30)), "completion": "say " * int(random.integers(1, 12))}
        for i in range(120)
    ]
    data = folder / "data.jsonl"
    data.write_text("".join(json.dumps(line) + "\n" for line in lines))
    task = Task(
        model=str(model),
        task="causal-lm",
        data=str(data),
        columns={"prompt": "prompt", "completion": "completion"},
        rows=Rows(train=76, dev=20, test=20),
    )
    return str(prepare(prepare_payload(task, 0, str(model), "tiny"), NullReporter())["prepared"])


def talk_job(prepared: str, out: Path, method: str = "lora", **choices: Any) -> TrainJob:
    """A training on it without dropout: 48 steps of 8 rows."""
    out.mkdir()
    still = {"dropout": 0.0, "batch_size": BATCH, "label_smoothing": 0.1, "learning_rate": 2e-3}
    setup = Setup.of(method, {**get_method(method).prior(), **still, **choices}, STEPS * BATCH)
    return TrainJob(prepared, setup, 3, str(out))
