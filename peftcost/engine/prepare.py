"""Tokenizes a task's splits once and remembers them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModel

from peftcost.data.builtin import cache_folder
from peftcost.engine.asked import SPLIT, asked_of
from peftcost.engine.dataset import DatasetInfo, load_dataset_info, load_split, save_prepared
from peftcost.engine.job import Reporter
from peftcost.errors import UserError
from peftcost.task.splits import TaskData, load_task_data
from peftcost.task.task import Task

FORMAT = 4
"""Of what is kept between runs; other formats are made anew."""
LONGEST = 512
"""Where inputs are cut when the task does not say."""
NO_LIMIT = 1_000_000
"""Tokens: more than anybody has."""


def prepare(payload: dict[str, Any], reporter: Reporter) -> dict[str, Any]:
    """payload: task, seed, model (resolved), model_fingerprint. Returns {prepared, warnings}."""
    reporter.phase("startup")
    task = Task.model_validate(payload["task"])
    data = load_task_data(task, payload["seed"])
    model = [payload["model_fingerprint"], payload["model"]]  # workers load it from where it lies now
    key = [FORMAT, data.fingerprint, *model, task.max_length, payload["seed"], data.metric.name, data.task_type.name]
    digest = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:20]
    folder = cache_folder() / "prepared" / digest
    if not (folder / "dataset_info.json").exists():
        encode_splits(folder, task, data, payload["model"], payload["seed"])
    info = load_dataset_info(folder)
    warnings = info.task_type.warnings(load_split(folder, "train"), payload["model"], info.max_length)
    return {"prepared": str(folder), "warnings": warnings}


def encode_splits(folder: Path, task: Task, data: TaskData, model: str, seed: int) -> None:
    """Write the task's splits as numbers for this base, and the prompts that contenders will answer. UserError where they do
    not suit it."""
    kind, positions = data.task_type, max_positions(model)
    if kind.one_size and task.max_length is not None:
        raise UserError(f"max_length cuts texts, and {kind.name} has none; remove it from the task.")
    processor = kind.processor(model)
    length = positions if kind.one_size else min(task.max_length or LONGEST, positions)
    splits = {
        name: kind.encode(processor, examples, data.targets, length)
        for name, examples in (("train", data.train), ("dev", data.dev), ("test", data.test))
    }
    for split in splits.values():
        kind.check_encoded(split, model)
    info = DatasetInfo(
        model=model,
        task=kind.name,
        metric=data.metric.name,
        targets=data.targets,
        padding=kind.padding(processor),
        max_positions=positions,
        max_length=length,
    )
    asked = asked_of(kind, processor, data.test, seed)
    if asked is not None:
        prompts = [data.test[i] for i in asked.rows]
        splits[SPLIT] = kind.encode(processor, prompts, None, length)
    save_prepared(folder, splits, info, asked)


def max_positions(model: str) -> int:
    """The longest input that the model takes; NO_LIMIT where it has no limit (T5, XLNet).

    RoBERTa's and MPNet's positions begin behind the padding token's, so their tables hold a few more.
    """
    config = AutoConfig.from_pretrained(model)
    positions = int(getattr(config, "max_position_embeddings", None) or NO_LIMIT)
    if positions < 0:
        return NO_LIMIT
    with torch.device("meta"):
        base = AutoModel.from_config(config)
    tables = [module for name, module in base.named_modules() if name.endswith("position_embeddings")]
    paddings = [getattr(table, "padding_idx", None) for table in tables]
    return positions - max((padding + 1 for padding in paddings if padding is not None), default=0)
