"""What the benchmarks of steps have in common: some sizes, measured one by one, each with the device to itself."""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Callable, Iterable
from typing import Any

import torch
import transformers

from benchmarks.gpu.sizes import SIZES, Size


def chosen(names: list[str]) -> list[Size]:
    """The sizes of these names; all without any."""
    return [size for size in SIZES if not names or size.name in names]


def print_each(rows: Iterable[tuple[str, Callable[[], Any]]]) -> None:
    """Print one JSON object of what each finds, by name; each as it comes to the other stream."""
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    found: dict[str, Any] = {}
    for name, measure in rows:
        found[name] = measure()
        gc.collect()
        torch.cuda.empty_cache()
        print(name, found[name], file=sys.stderr, flush=True)
    print(json.dumps(found))
