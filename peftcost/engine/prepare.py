"""Tokenizes a task's splits once and remembers them."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
import torch
from transformers import AutoConfig, AutoModel

from peftcost.data.builtin import cache_folder
from peftcost.data.features import Split
from peftcost.engine.asked import SPLIT, Asked, asked_of
from peftcost.engine.dataset import DatasetInfo, load_dataset_info, load_split, save_prepared
from peftcost.engine.job import Reporter
from peftcost.engine.widths import config_of, encoded
from peftcost.errors import UserError
from peftcost.task.lengths import FITTING_SHARE, NO_LIMIT, input_length, longest_input, sample_of, usual_length
from peftcost.task.splits import TaskData, load_task_data
from peftcost.task.task import Task
from peftcost.tasks.text_inputs import cut_warning

FORMAT = 6
"""Of what is kept between runs; other formats are made anew."""


def prepare(payload: dict[str, Any], reporter: Reporter) -> dict[str, Any]:
    """payload: task, seed, model (resolved), model_fingerprint. Returns {prepared, warnings}."""
    reporter.phase("startup")
    task = Task.model_validate(payload["task"])
    data = load_task_data(task, payload["seed"])
    model = [payload["model_fingerprint"], payload["model"]]  # workers load it from where it lies now
    key = [FORMAT, data.fingerprint, *model, task.max_length, payload["seed"], data.metric.name, data.task_type.name]
    key += [data.metric.options] if data.metric.options else []
    digest = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:20]
    folder = cache_folder() / "prepared" / digest
    if not (folder / "dataset_info.json").exists():
        encoded = encode_splits(task, data, payload["model"], payload["seed"])
        del data  # of many rows it takes more memory than what is written
        save_prepared(folder, *encoded)
    info = load_dataset_info(folder)
    warnings = [*cut_told(info, task), *info.task_type.warnings(load_split(folder, "train"), payload["model"])]
    return {"prepared": str(folder), "warnings": warnings}


def encode_splits(task: Task, data: TaskData, model: str, seed: int) -> tuple[dict[str, Split], DatasetInfo, Asked | None]:
    """The task's splits as numbers for this base, and the prompts that contenders will answer. UserError where they do not
    suit it."""
    kind, positions = data.task_type, max_positions(model)
    if kind.one_size and task.max_length is not None:
        raise UserError(f"max_length cuts texts, and {kind.name} has none; remove it from the task.")
    processor = kind.processor(model)
    length, cut_share = positions, 0.0
    if not kind.one_size:
        some = [data.train[i] for i in sample_of(len(data.train))]
        whole = kind.encode(processor, some, data.targets, NO_LIMIT).lengths
        length = input_length(config_of(model), model, task.max_length, usual_length(whole), positions)
        cut_share = float(np.mean(whole > length))
    splits = {
        name: encoded(kind, processor, examples, data.targets, length, model)
        for name, examples in (("train", data.train), ("dev", data.dev), ("test", data.test))
        if examples
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
        cut_share=cut_share,
        metric_options=data.metric.options,
    )
    asked = asked_of(kind, processor, data.test, seed)
    if asked is not None:
        prompts = [data.test[i] for i in asked.rows]
        splits[SPLIT] = kind.encode(processor, prompts, None, length)
    return splits, info, asked


def cut_told(info: DatasetInfo, task: Task) -> list[str]:
    """That inputs are cut, where some are; a warning where the length is not what most of them fit into."""
    if task.max_length is None and 0 < info.cut_share <= 1 - FITTING_SHARE:
        told = f"Inputs are cut at {info.max_length} tokens, which {FITTING_SHARE:.0%} of the training rows fit into"
        return [f"{told}; `max_length` sets another length."]
    return cut_warning(info.cut_share, info.max_length)


def max_positions(model: str) -> int:
    """The longest input that the model takes; NO_LIMIT where it has no limit (T5, XLNet).

    RoBERTa's and MPNet's positions begin behind the padding token's, so their tables hold a few more.
    """
    config = AutoConfig.from_pretrained(model)
    positions = longest_input(config.to_dict())
    if positions == NO_LIMIT:
        return NO_LIMIT
    with torch.device("meta"):
        base = AutoModel.from_config(config)
    tables = [module for name, module in base.named_modules() if name.endswith("position_embeddings")]
    paddings = [getattr(table, "padding_idx", None) for table in tables]
    return positions - max((padding + 1 for padding in paddings if padding is not None), default=0)
