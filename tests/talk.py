"""Short prompts with completions, prepared for a small language model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from peftcost.engine.job import NullReporter, prepare_payload
from peftcost.engine.prepare import prepare
from peftcost.task.task import Rows, Task


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
