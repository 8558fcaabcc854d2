"""Tokenizes a task's splits once and remembers them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from transformers import AutoConfig

from peftcost.data.fingerprint import cache_folder
from peftcost.engine.base_model import load_tokenizer
from peftcost.engine.job import Tell
from peftcost.engine.prepared import About, Split, load_about, load_split, make_split, save_prepared
from peftcost.tasks.splits import TaskData, load_task_data
from peftcost.tasks.task import Task

MUCH_UNKNOWN = 0.05
"""Share of tokens unknown to the base's vocabulary above which the user is warned."""
LONGEST = 512
"""Where inputs are cut when neither task nor model says."""


def prepare(payload: dict[str, Any], tell: Tell) -> dict[str, Any]:
    """payload: task, seed, model (resolved), model_fingerprint. Returns {prepared, warnings, truncated_share}."""
    tell.phase("startup")
    task = Task.model_validate(payload["task"])
    data = load_task_data(task, payload["seed"])
    model = [payload["model_fingerprint"], payload["model"]]  # workers load it from where it lies now
    key = [data.fingerprint, *model, task.max_length, payload["seed"], data.metric.name]
    digest = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:20]
    folder = cache_folder() / "prepared" / digest
    if not (folder / "about.json").exists():
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
    about = About(
        model=model,
        task=data.task_type.name,
        metric=data.metric.name,
        labels=list(data.labels),
        pad_id=tokenizer.pad_token_id,
        max_positions=positions,
        max_length=length,
    )
    save_prepared(folder, splits, about)


def max_positions(model: str) -> int:
    """The longest input that the model takes. Position ids of RoBERTa-likes start after the pad token's id."""
    config = AutoConfig.from_pretrained(model)
    positions = int(getattr(config, "max_position_embeddings", None) or LONGEST)
    return positions - 2 if config.model_type in ("roberta", "xlm-roberta", "camembert") else positions


def warnings_about(folder: Path, model: str) -> list[str]:
    """What the tokenized data tells about whether this base can be right."""
    about, split = load_about(folder), load_split(folder, "train")
    found = []
    unknown = load_tokenizer(model).unk_token_id
    share = float(np.mean(split.ids == unknown)) if unknown is not None and len(split.ids) else 0.0
    if share > MUCH_UNKNOWN:
        found.append(
            f"The base's vocabulary does not know {share:.0%} of this data's tokens; it may not know the language. "
            "Try a base that was trained on it."
        )
    cut = cut_share(split, about.max_length)
    if cut > 0.01:
        found.append(f"{cut:.0%} of the training rows are longer than {about.max_length} tokens and are cut there.")
    return found


def cut_share(split: Split, max_length: int) -> float:
    """Share of examples that fill the maximum length, and so were probably cut."""
    return float(np.mean(split.lengths >= max_length))
