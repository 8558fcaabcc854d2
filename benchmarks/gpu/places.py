"""A captured LoRA step of a language model, a quarter of whose tokens counts: with their logits alone, and with all.

python -m benchmarks.gpu.places [SIZE …]     Prints one JSON object: milliseconds, and `peak_bytes` measured and estimated.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from benchmarks.gpu.models import ROWS, dataset_info_of, full_batch, random_rows
from benchmarks.gpu.one_by_one import chosen, print_each
from benchmarks.gpu.sizes import Size
from benchmarks.gpu.steps import loop_of, milliseconds, setup_of
from peftcost.data.features import Split, ragged
from peftcost.engine.dataset import DatasetInfo
from peftcost.engine.fitting import job_estimate
from peftcost.tasks.base import IGNORED
from peftcost.tasks.targets import Tokens

COUNTED = 0.25


def task_of(size: Size) -> tuple[DatasetInfo, Split]:
    """Random rows, of each the last quarter to be learnt."""
    split = random_rows(size)
    ids = [split.columns["input_ids"][i].tolist() for i in range(ROWS)]
    wanted = [[IGNORED] * (n := int(len(row) * (1 - COUNTED))) + row[n:] for row in ids]
    info = replace(dataset_info_of(size), task="causal-lm", metric="negative_loss", targets=Tokens())
    return info, Split({"input_ids": ragged(ids), "targets": ragged(wanted)}, np.array([len(row) for row in ids]))


def compare(size: Size, all_logits: bool) -> dict[str, Any]:
    (info, split), setup = task_of(size), setup_of("lora", size)
    with ExitStack() as stack:
        loop = loop_of(setup, info, split, stack)
        if all_logits:
            loop.extent = replace(loop.extent, wanted=np.full(ROWS, size.tokens))
        stack.enter_context(loop.capture_steps())
        found: dict[str, Any] = milliseconds(lambda: loop.train_step(full_batch(size)))
        found["measured_bytes"] = loop.peak_bytes()
    if not all_logits:
        found["estimated_bytes"] = job_estimate(loop.job, info, split, "cuda")(setup.hyperparameters).peak_bytes
    return found


def main(wanted: list[str]) -> None:
    print_each(
        (f"{size.name} {name}", partial(compare, size, all_logits))
        for size in chosen(wanted)
        if size.model != "minilm"
        for name, all_logits in (("counted", False), ("all", True))
    )


if __name__ == "__main__":
    main(sys.argv[1:])
