"""A run's folder as far as reports read it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from peftcost.task.splits import load_task_data
from peftcost.task.task import load_task
from peftcost.tasks.targets import Classes

FIXTURE = Path(__file__).with_name("result_fixture.json")
CLASSES = ["negative", "<img src=x onerror=alert(4)>", "中立 😐"]


TEXTS = ["<script>alert(5)</script> a bad film", "so so", "a very good film that I liked very much indeed"]


def with_examples(folder: Path) -> dict[str, Any]:
    """The same with the dev rows of the recommended setup, and the data that they are of."""
    result = with_run_files(folder)
    texts = [f"{TEXTS[i % 3]} {'really ' * (i % 11)}{i}" for i in range(120)]
    rows = [
        {"text": text, "label": CLASSES[i % 3], "source": "<i>web</i>" if i % 2 else "mail"} for i, text in enumerate(texts)
    ]
    for split, part in (("train", rows[:20]), ("dev", rows[20:]), ("test", rows[:20])):
        lines = [json.dumps(row | {"text": f"{row['text']} {split}"}) + "\n" for row in part]
        (folder / f"{split}.jsonl").write_text("".join(lines), encoding="utf-8")
    task = {
        "model": "builtin:minilm",
        "task": "text-classification",
        "data": {split: f"{split}.jsonl" for split in ("train", "dev", "test")},
        "columns": {"text": "text", "label": "label"},
    }
    (folder / "task.yaml").write_text(json.dumps(task), encoding="utf-8")
    data = load_task_data(load_task(folder / "task.yaml"), 0)
    result["task"]["fingerprints"]["data"] = data.fingerprint
    result["task"]["classes"] = list(data.targets.names) if isinstance(data.targets, Classes) else []
    entry = next(e for e in result["setups"] if e["id"] == result["recommendation"]["id"])
    seed = next(m["seed"] for m in entry["measurements"] if m["role"] == "confirm")
    true = np.array([result["task"]["classes"].index(example["label"]) for example in data.dev])
    logs = np.full((len(true), 3), -6.0)
    logs[np.arange(len(true)), np.where(np.arange(len(true)) % 10 == 0, (true + 1) % 3, true)] = -0.005
    trial = folder / "setups" / entry["id"] / f"seed-{seed}"
    np.save(trial / "dev_rows.npy", np.stack([logs.argmax(axis=1), true], axis=1).astype(np.float32))
    np.save(trial / "dev_log_probabilities.npy", logs.astype(np.float16))
    return result


def with_run_files(folder: Path) -> dict[str, Any]:
    """The fixture's result, with classes of hostile names; its folder gets the curves and rows of the recommended setup."""
    result = json.loads(FIXTURE.read_text(encoding="utf-8"))
    result["task"]["classes"] = CLASSES
    entry = next(e for e in result["setups"] if e["id"] == result["recommendation"]["id"])
    seeds = [m["seed"] for m in entry["measurements"] if m["role"] == "confirm"]
    for seed in {m["seed"] for m in entry["measurements"]}:
        trial = folder / "setups" / entry["id"] / f"seed-{seed}"
        trial.mkdir(parents=True)
        lines = [{"total_steps": 40, "first_step": 0, "parent": None}]
        lines += [{"step": step, "train_loss": 1.0 / step} for step in range(10, 50, 10)]
        (trial / "curve.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    true, predicted = np.array([0, 0, 0, 0, 1, 1, 2, 2]), np.array([0, 0, 0, 1, 1, 2, 2, 2])
    rows = np.stack([predicted, true], axis=1).astype(np.float32)
    np.save(folder / "setups" / entry["id"] / f"seed-{seeds[0]}" / "test_rows.npy", rows)
    return result
