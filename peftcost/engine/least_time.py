"""The least that an example can take on a CPU, told before a device is held: no weights are loaded."""

from __future__ import annotations

import time
import traceback
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from peftcost.core.setup import Setup
from peftcost.engine.dataset import load_dataset_info, load_split
from peftcost.engine.fitting import estimate_of
from peftcost.engine.job import Reporter
from peftcost.errors import SetupFailed
from peftcost.methods import get_method

SIZE, TRIES = 512, 3
"""Of the matrices that are multiplied, and how often; the fastest counts."""


def least_time(payload: dict[str, Any], reporter: Reporter) -> dict[str, Any]:
    """payload: prepared (the folder of the tokenized data), threads (of the device).

    Returns {"forward_seconds": of one example of mean length through the base, at the speed of one large matrix product},
    0.0 where no estimate can be made. Nothing that is trained or tested takes less.
    """
    reporter.phase("plan")
    folder = Path(payload["prepared"])
    info, train = load_dataset_info(folder), load_split(folder, "train")
    tokens = max(1, int(np.mean(np.minimum(train.lengths, info.max_length))))
    choices = Setup.of("frozen", get_method("frozen").prior(), 0).hyperparameters
    config = transformers.AutoConfig.from_pretrained(info.model)
    try:
        step = estimate_of(config, info.task_type, "frozen", choices, tokens, info.targets)
    except SetupFailed:
        return {"forward_seconds": 0.0}
    except Exception:  # whatever a stranger's model does under fake tensors
        traceback.print_exc()
        return {"forward_seconds": 0.0}
    flops_per_example = step.work.flops / int(choices["batch_size"] or 1)
    return {"forward_seconds": flops_per_example / flops_per_second(payload["threads"])}


def flops_per_second(threads: int) -> float:
    """Of one large matrix product on so many threads of this machine, in the precision that is faster; what other programs
    take of the processor does not count."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        seconds = [product_seconds(torch.ones(SIZE, SIZE, dtype=dtype)) for dtype in (torch.float32, torch.bfloat16)]
    finally:
        torch.set_num_threads(before)
    return 2 * SIZE**3 * threads / min(seconds)


def product_seconds(matrix: torch.Tensor) -> float:
    """Of all threads together, the fastest of some tries."""
    fastest = float("inf")
    for _ in range(TRIES):
        began = time.process_time()
        torch.mm(matrix, matrix)
        fastest = min(fastest, time.process_time() - began)
    return fastest
