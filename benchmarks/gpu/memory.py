"""`peak_bytes` as estimated and as measured, of a step at 1B parameters and of MiniLM, for six methods.

python -m benchmarks.gpu.memory [SIZE …]     Prints one JSON object.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack
from functools import partial
from typing import Any

import transformers

from benchmarks.gpu.models import CLASSES, dataset_info_of, folder_of, full_batch, random_rows
from benchmarks.gpu.one_by_one import chosen, print_each
from benchmarks.gpu.sizes import Size
from benchmarks.gpu.steps import loop_of, setup_of
from peftcost.engine.fitting import estimate_of

METHODS = ("full", "frozen", "lora", "adalora", "int8-lora", "nf4-lora")


def compare(size: Size, method: str) -> dict[str, Any]:
    setup, info, split = setup_of(method, size), dataset_info_of(size), random_rows(size)
    config = transformers.AutoConfig.from_pretrained(folder_of(size.model))
    found = estimate_of(config, info.task_type, method, setup.hyperparameters, size.tokens, CLASSES, "cuda")
    with ExitStack() as stack:
        loop = loop_of(setup, info, split, stack)
        loop.train_step(full_batch(size))
        measured = loop.peak_bytes()
    return {"estimated_bytes": found.peak_bytes, "measured_bytes": measured, "ratio": round(found.peak_bytes / measured, 4)}


def main(wanted: list[str]) -> None:
    print_each((f"{size.name} {method}", partial(compare, size, method)) for size in chosen(wanted) for method in METHODS)


if __name__ == "__main__":
    main(sys.argv[1:])
