"""Lets contenders write, and scores what they have written. See `peftcost.engine.asked`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from peftcost.core.setup import Setup
from peftcost.cost.meter import Stopwatch
from peftcost.data.features import Split, ragged
from peftcost.engine import ranks
from peftcost.engine.artifact import load_artifact, load_untuned, save_rows
from peftcost.engine.asked import SPLIT, Asked, load_asked
from peftcost.engine.dataset import DatasetInfo, load_dataset_info, load_split
from peftcost.engine.evaluate import batches_by_length
from peftcost.engine.generate import generate, room_of, texts_of
from peftcost.engine.job import Reporter
from peftcost.tasks.text_inputs import lengths_of

PROMPT_TOKENS, PROBED_TOKENS = 2, (1, 5)
"""Behind how many tokens of each prompt how few and how many are written, to find out how long a token takes."""


def answer(payload: dict[str, Any], reporter: Reporter) -> dict[str, Any]:
    """Let a model write for all prompts of the prepared data. payload: prepared, setup (None: the untuned model), seed, out
    (a folder that holds the setup's `model`), name.

    Writes out/NAME.npy, the rows of the task type's `score`, and out/NAME.jsonl, the texts.
    """
    reporter.phase("generate")
    if not ranks.is_main():
        return {}
    prepared, out, name = Path(payload["prepared"]), Path(payload["out"]), payload["name"]
    info, asked = load_dataset_info(prepared), load_asked(prepared)
    assert asked is not None, "there is something to write"
    setup = None if payload["setup"] is None else Setup.from_dict(payload["setup"])
    model, device = (
        load_untuned(info, payload["seed"]) if setup is None else load_artifact(out / "model", setup, info, payload["seed"])
    )
    split = load_split(prepared, SPLIT)
    said = texts_of(model, split, info, info.model, setup, device, asked.new_tokens)
    texts = [str(next(iter(one.values()))) for one in said]
    save_answers(out, name, asked, texts, info.task_type.score(texts, asked.references))
    return {"rows": len(texts)}


def save_answers(out: Path, name: str, asked: Asked, texts: list[str], rows: np.ndarray) -> None:
    lines = [
        json.dumps({"test_row": row, "reference": right, "written": text}, ensure_ascii=False)
        for row, right, text in zip(asked.rows, asked.references, texts, strict=True)
    ]
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    save_rows(out / f"{name}.npy", rows)


def answering_seconds(
    model: torch.nn.Module,
    prepared: Path,
    info: DatasetInfo,
    setup: Setup,
    device: torch.device,
    seconds_per_example: float,
) -> float:
    """How long `answer` will write at most, 0 where nothing is to be written: what reading the prompts takes, at so many
    seconds each, and from a few tokens for the first batch what each further one takes."""
    asked = load_asked(prepared)
    if asked is None:
        return 0.0
    split = load_split(prepared, SPLIT)
    batches = list(batches_by_length(split.lengths, np.arange(len(split))))
    ends = {"input_ids": ragged([split.columns["input_ids"][i][-PROMPT_TOKENS:].tolist() for i in batches[0]])}
    short, watch, seconds = Split(ends, lengths_of(ends)), Stopwatch(device), []
    for new_tokens in PROBED_TOKENS:
        generate(model, short, int(info.padding["input_ids"]), [], room_of(info, setup), device, new_tokens)
        seconds.append(watch.lap())
    a_token = max(0.0, seconds[1] - seconds[0]) / (PROBED_TOKENS[1] - PROBED_TOKENS[0])
    return seconds_per_example * len(split) + a_token * asked.new_tokens * len(batches)
