"""A captured LoRA step on pictures, which are copied to the device while the step before runs, or before the step itself.

python -m benchmarks.gpu.pictures     Prints one JSON object: milliseconds for two shapes of ViT, with random weights, and
what collating a batch takes of them. Where that is most of it, nothing is gained.
"""

from __future__ import annotations

import itertools
import time
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from unittest.mock import patch

import numpy as np

from benchmarks.gpu.models import CLASSES, ROWS, dataset_info_of
from benchmarks.gpu.one_by_one import print_each
from benchmarks.gpu.sizes import Size
from benchmarks.gpu.steps import loop_of, milliseconds, setup_of
from peftcost.data.features import Column, Split
from peftcost.engine import graph_inputs

SIDE, PATCH, COLLATED = 224, 16, 20
SIZES = [Size(model, 16, (SIDE // PATCH) ** 2 + 1) for model in ("vit-tiny", "vit-base")]
SCALE = {f"{kind}_{i}": number for i in range(3) for kind, number in (("factor", 1 / 128), ("offset", -1.0))}


def compare(size: Size, ahead: bool) -> dict[str, float]:
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (ROWS, 3, SIDE, SIDE), dtype=np.uint8)
    targets = np.arange(ROWS, dtype=np.int32) % len(CLASSES)
    split = Split({"pixel_values": Column(pixels), "targets": Column(targets)}, np.full(ROWS, size.tokens))
    info = replace(dataset_info_of(size), task="image-classification", padding=SCALE)
    with ExitStack() as stack:
        stack.enter_context(patch.object(graph_inputs, "COPIED_AHEAD_BYTES", 0 if ahead else float("inf")))
        loop = loop_of(setup_of("lora", size), info, split, stack)
        stack.enter_context(loop.capture_steps())
        batches = itertools.cycle(random.integers(0, ROWS, (8, size.rows)))
        found = milliseconds(lambda: loop.train_step(next(batches)))
        began = time.perf_counter()
        for _ in range(COLLATED):
            loop.train_state.collator.batch(split, next(batches))
        return found | {"collate_ms": round(1000 * (time.perf_counter() - began) / COLLATED, 3)}


def main() -> None:
    ways = {"ahead": True, "before the step": False}
    print_each((f"{size.name} {how}", partial(compare, size, ahead)) for size in SIZES for how, ahead in ways.items())


if __name__ == "__main__":
    main()
