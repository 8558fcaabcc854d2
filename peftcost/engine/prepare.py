"""Tokenizes a task's splits once and remembers them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoConfig, AutoModel

from peftcost.data.fingerprint import cache_folder
from peftcost.engine.base_model import load_tokenizer
from peftcost.engine.dataset import DatasetInfo, Split, load_dataset_info, load_split, make_split, save_prepared
from peftcost.engine.job import Reporter
from peftcost.errors import UserError
from peftcost.task.splits import TaskData, load_task_data
from peftcost.task.task import Task

MUCH_UNKNOWN = 0.05
"""Share of tokens unknown to the base's vocabulary above which the user is warned."""
LONGEST = 512
"""Where inputs are cut when the task does not say."""
NO_LIMIT = 1_000_000
"""Tokens: more than anybody has."""


def prepare(payload: dict[str, Any], reporter: Reporter) -> dict[str, Any]:
    """payload: task, seed, model (resolved), model_fingerprint. Returns {prepared, warnings, truncated_share}."""
    reporter.phase("startup")
    task = Task.model_validate(payload["task"])
    data = load_task_data(task, payload["seed"])
    model = [payload["model_fingerprint"], payload["model"]]  # workers load it from where it lies now
    key = [data.fingerprint, *model, task.max_length, payload["seed"], data.metric.name]
    digest = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:20]
    folder = cache_folder() / "prepared" / digest
    if not (folder / "dataset_info.json").exists():
        tokenize_splits(folder, task, data, payload["model"])
    return {"prepared": str(folder), "warnings": warnings_about(folder, payload["model"])}


def tokenize_splits(folder: Path, task: Task, data: TaskData, model: str) -> None:
    tokenizer = load_tokenizer(model, data.task_type.pre_split)
    positions = max_positions(model)
    length = min(task.max_length or LONGEST, positions)
    splits = {
        name: make_split(*data.task_type.tokenize(tokenizer, examples, data.labels, length))
        for name, examples in (("train", data.train), ("dev", data.dev), ("test", data.test))
    }
    check_vocabulary(splits.values(), model)
    info = DatasetInfo(
        model=model,
        task=data.task_type.name,
        metric=data.metric.name,
        labels=list(data.labels),
        pad_id=tokenizer.pad_token_id,
        max_positions=positions,
        max_length=length,
    )
    save_prepared(folder, splits, info)


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


def check_vocabulary(splits: Iterable[Split], model: str) -> None:
    """UserError where the tokenizer makes tokens that the model does not have: on a GPU they would end the process."""
    size = AutoConfig.from_pretrained(model).get_text_config().vocab_size
    highest = max((int(split.ids.max()) for split in splits if len(split.ids)), default=0)
    if highest >= size:
        raise UserError(
            f"The tokenizer in {model} makes token {highest}, and the model beside it has {size} tokens; give the model's "
            "own tokenizer."
        )


def warnings_about(folder: Path, model: str) -> list[str]:
    """What the tokenized data tells about whether this base can be right."""
    info, split = load_dataset_info(folder), load_split(folder, "train")
    found = []
    unknown = load_tokenizer(model).unk_token_id
    share = float(np.mean(split.ids == unknown)) if unknown is not None and len(split.ids) else 0.0
    if share > MUCH_UNKNOWN:
        found.append(
            f"The base's vocabulary does not know {share:.0%} of this data's tokens; it may not know the language. "
            "Try a base that was trained on it."
        )
    cut = cut_share(split, info.max_length)
    if cut > 0.01:
        found.append(f"{cut:.0%} of the training rows are longer than {info.max_length} tokens and are cut there.")
    return found


def cut_share(split: Split, max_length: int) -> float:
    """Share of examples that fill the maximum length, and so were probably cut."""
    return float(np.mean(split.lengths >= max_length))
