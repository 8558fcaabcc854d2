"""A captured LoRA step of a language model with texts in rows with a mask, without one, and end to end in one row.

python -m benchmarks.gpu.layout [SIZE …]     Prints one JSON object: milliseconds, positions, and `peak_bytes` measured and
estimated. The batch is of middling length, as trainings have it.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import Any
from unittest import mock

from benchmarks.gpu.one_by_one import print_each
from benchmarks.gpu.places import task_of
from benchmarks.gpu.sizes import Size
from benchmarks.gpu.steps import loop_of, milliseconds, setup_of
from peftcost.core.setup import ATTENTION
from peftcost.engine.attention import VARLEN, is_installed
from peftcost.engine.dataset import batches_of_epoch
from peftcost.engine.fitting import job_estimate
from peftcost.engine.step_times import full_ones, middling
from peftcost.engine.train_state import TrainState

SIZES = (Size("llama-135m", 8, 256), Size("llama-1b", 8, 512), Size("llama-1b", 8, 2048))
WAYS = ("rows with a mask", "rows", "end to end")


def measure(size: Size, way: str) -> dict[str, Any]:
    (info, split), setup = task_of(size), setup_of("lora", size)
    info = replace(info, max_positions=size.tokens)
    if way == "end to end":
        setup = replace(setup, hyperparameters={**setup.hyperparameters, ATTENTION: VARLEN})
    with ExitStack() as stack:
        if way == "rows with a mask":
            stack.enter_context(mock.patch.object(TrainState, "unmasked", False))
        loop = loop_of(setup, info, split, stack)
        assert loop.extent.end_to_end == (way == "end to end"), "the model keeps texts apart"
        stack.enter_context(loop.capture_steps())
        batch = middling(loop, full_ones(loop, batches_of_epoch(loop.extent.sorted_by, size.rows, 0, 0)))
        found: dict[str, Any] = milliseconds(lambda: loop.train_step(batch))
        assert loop.shapes is not None
        width, _ = loop.shapes.fit(*loop.extent([batch]))
        found["positions"] = width * (1 if loop.extent.end_to_end else size.rows)
        found["tokens"] = int(split.lengths[batch].sum())
        found["measured_bytes"] = loop.peak_bytes()
    if way != "rows with a mask":
        found["estimated_bytes"] = job_estimate(loop.job, info, split, "cuda")(setup.hyperparameters).peak_bytes
    return found


def main(wanted: list[str]) -> None:
    sizes = [size for size in SIZES if not wanted or size.name in wanted]
    ways = WAYS if is_installed(VARLEN, "cuda") else WAYS[:2]
    print_each((f"{size.name} {way}", partial(measure, size, way)) for size in sizes for way in ways)


if __name__ == "__main__":
    main(sys.argv[1:])
