"""A captured LoRA step on pictures, which are copied to the device while the step before runs, or before the step itself.

python -m benchmarks.gpu.pictures     Prints one JSON object: milliseconds for two shapes of ViT, with random weights, and
what collating a batch takes of them. Where that is most of it, nothing is gained.
"""

from __future__ import annotations

import itertools
import tempfile
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
import transformers

from benchmarks.gpu.models import CLASSES
from benchmarks.gpu.one_by_one import print_each
from benchmarks.gpu.steps import PLAN, milliseconds
from peftcost.core.setup import Setup
from peftcost.data.features import Column, Split
from peftcost.engine import graph_inputs
from peftcost.engine.dataset import DatasetInfo
from peftcost.engine.job import NullReporter, TrainJob
from peftcost.engine.precision import on_gpu
from peftcost.engine.train import Loop
from peftcost.engine.train_state import build
from peftcost.methods import get_method

ROWS, BATCH, SIDE, COLLATED = 64, 16, 224, 20
WIDTHS = {"vit-tiny": 192, "vit-base": 768}
"""Hidden widths; a head has 64 of them."""
SCALE = {f"{kind}_{i}": number for i in range(3) for kind, number in (("factor", 1 / 128), ("offset", -1.0))}


def folder_of(name: str) -> Path:
    folder = Path(tempfile.gettempdir()) / f"peftcost-{name}"
    if not (folder / "config.json").exists():
        torch.manual_seed(0)
        width = WIDTHS[name]
        config = transformers.ViTConfig(hidden_size=width, intermediate_size=4 * width, num_attention_heads=width // 64)
        transformers.ViTModel(config).save_pretrained(folder)
    return folder


def compare(name: str, ahead: bool) -> dict[str, float]:
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (ROWS, 3, SIDE, SIDE), dtype=np.uint8)
    targets = np.arange(ROWS, dtype=np.int32) % len(CLASSES.names)
    split = Split(
        {"pixel_values": Column(pixels), "targets": Column(targets)}, np.full(ROWS, positions := (SIDE // 16) ** 2 + 1)
    )
    info = DatasetInfo(
        model=str(folder_of(name)),
        task="image-classification",
        metric="accuracy",
        targets=CLASSES,
        padding=SCALE,
        max_positions=positions,
        max_length=positions,
    )
    own = get_method("lora")
    choices: dict[str, Any] = {**own.prior(), **on_gpu(own, has_bf16=True), "batch_size": BATCH, "micro_batch_size": BATCH}
    setup = Setup.of("lora", choices, 1000 * BATCH)
    with ExitStack() as stack:
        stack.enter_context(patch.object(graph_inputs, "COPIED_AHEAD_BYTES", 0 if ahead else float("inf")))
        out = stack.enter_context(tempfile.TemporaryDirectory())
        train_state = build(setup, 0, info, PLAN.total_steps)
        loop = Loop(TrainJob(out, setup, 0, out), NullReporter(), train_state, split, split, PLAN)
        train_state.model.train()
        stack.enter_context(loop.capture_steps())
        batches = itertools.cycle(random.integers(0, ROWS, (8, BATCH)))
        found = milliseconds(lambda: loop.train_step(next(batches)))
        began = time.perf_counter()
        for _ in range(COLLATED):
            loop.train_state.collator.batch(split, next(batches))
        return found | {"collate_ms": round(1000 * (time.perf_counter() - began) / COLLATED, 3)}


def main() -> None:
    print_each(
        (f"{name} {how}", partial(compare, name, how == "ahead")) for name in WIDTHS for how in ("ahead", "before the step")
    )


if __name__ == "__main__":
    main()
