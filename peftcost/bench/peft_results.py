"""Reads the result files of PEFT's own method comparison (huggingface/peft, method_comparison/MetaMathQA/results)."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from peftcost.bench.cells import BenchTask, Cell, Comparison, Contender, Training
from peftcost.errors import UserError

TEST_ROWS = 1319
"""Of GSM8K, on which that suite tests. Its files name the data set, not its size."""
DRAWS = 2000
MARGIN = 0.01
OURS = {"full-finetuning": "full", "prefixtuning": "prefix", "prompt_tuning": "prompt"}
"""What is called otherwise there."""
SOURCE = (
    "Made from the result files of PEFT’s method comparison (Apache-2.0). One seed each; quality is the accuracy on {rows:,} "
    "test examples. Single answers are not in the files, so intervals are binomial and differences are taken as unpaired, "
    "which calls fewer of them significant than there may be. Latency was not measured."
)


def compare_peft_results(folder: Path) -> Comparison:
    """One task, one contender a file. UserError for a folder or a file that holds no such results."""
    files = sorted(folder.glob("*.json"))
    if not files:
        raise UserError(f"{folder} holds no result files of PEFT's method comparison; they end in .json.")
    found = [(file, read(file)) for file in files]
    models = {run["run_info"]["train_config"]["model_id"] for _, run in found}
    if len(models) > 1:
        raise UserError(
            f"{folder} holds results on several models ({', '.join(sorted(models))}); put each in its own folder."
        )
    (model,) = models
    task = "MetaMathQA"
    contenders = {file.stem: contender_of(file.stem, run) for file, run in found}
    trainings = [training_of(task, contenders[file.stem], run) for file, run in found]
    first = found[0][1]["meta_info"]
    machine = first["system_info"]["accelerator"]
    return Comparison(
        title=f"PEFT’s method comparison: {len(found)} setups of {model.rpartition('/')[2]}",
        source=SOURCE.format(rows=TEST_ROWS),
        tasks=[BenchTask(task, "causal-lm", model, "accuracy", MARGIN, 20_000, "test", TEST_ROWS)],
        contenders=list(contenders.values()),
        trainings=trainings,
        cells={(task, t.contender): cell_of(t) for t in trainings if t.reason is None},
        facts={
            "command": f"peftcost bench {folder}",
            "seeds": sorted({training.seed for training in trainings}),
            "device": {"kind": "cuda", "name": machine},
            "budget": None,
            "versions": {name.removesuffix("-version"): v for name, v in first["package_info"].items() if "version" in name},
        },
    )


def read(file: Path) -> dict[str, Any]:
    """A result file. UserError for what is none."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        found["run_info"]["experiment_name"], found["train_info"]["metrics"], found["meta_info"]["dataset_info"]["gsm8k"]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{file} is no result file of PEFT's comparison on MetaMathQA ({error!r}).") from error
    return found


def contender_of(stem: str, run: Mapping[str, Any]) -> Contender:
    """lora/llama-3.2-3B-rank32 is "lora rank32"."""
    method, _, variant = run["run_info"]["experiment_name"].partition("/")
    model = run["run_info"]["train_config"]["model_id"].rpartition("/")[2]
    words = re.sub(f"^{re.escape(model)}-?", "", variant, flags=re.IGNORECASE)
    known = OURS.get(method, method)
    return Contender(stem, f"{known} {words}".strip(), known)


def training_of(task: str, contender: Contender, run: Mapping[str, Any]) -> Training:
    info, config = run["train_info"], run["run_info"]["train_config"]
    tested = [m["test accuracy"] for m in info["metrics"] if "test accuracy" in m]
    reason = None if tested else run["run_info"].get("error_msg") or f"its status is {info['status']}"
    return Training(
        task=task,
        contender=contender.key,
        method=contender.method,
        setup=contender.name,
        id=contender.key,
        seed=config["seed"],
        stop_examples=config["max_steps"] * config["batch_size"],
        reason=reason,
        quality=tested[-1] if tested else None,
        gpu_seconds=info["train_time"],
        peak_bytes=info["accelerator_memory_max"],
        artifact_bytes=info["file_size"],
        trainable_parameters=info["num_trainable_params"],
    )


def cell_of(training: Training) -> Cell:
    assert training.quality is not None
    error = (training.quality * (1 - training.quality) / TEST_ROWS) ** 0.5
    random = np.random.default_rng(zlib.crc32(training.contender.encode()))
    return Cell(
        quality=training.quality,
        values=random.normal(training.quality, error, DRAWS),
        gpu_seconds=training.gpu_seconds,
        peak_bytes=training.peak_bytes,
        latency_seconds=None,
        seeds=1,
        setup=training.setup,
        limits=(0.0, 1.0),
    )
