"""How much of a training's positions is padding on a GPU, with texts in rows or end to end. Needs no GPU.

python benchmarks/padding.py [FILE.csv ...]     further texts, each of a column `text`, for a causal language model
"""

from __future__ import annotations

import sys
from itertools import islice
from pathlib import Path

import numpy as np
from machine import write_result

from peftcost.data.fingerprint import resolve_model
from peftcost.engine.cuda_graphs import Extent, plan_shapes
from peftcost.engine.dataset import batches_ahead, batches_from
from peftcost.engine.prepare import encode_splits
from peftcost.task.splits import load_task_data
from peftcost.task.task import Rows, Task, load_task

TASKS = ("builtin:dialogue", "builtin:tweets", "builtin:wnut16")
MOST_ROWS = 4000
BATCH_SIZES = (8, 16, 32)
EPOCHS = 3


def main(files: list[str]) -> None:
    named = {name: load_task(name) for name in TASKS}
    for file in files:
        named[Path(file).name] = Task.model_validate(
            {"model": "builtin:smollm2", "task": "causal-lm", "data": str(Path(file).absolute()), "columns": {"text": "text"}}
        )
    found = {name: shares(task) for name, task in named.items()}
    for name, of_sizes in found.items():
        for size, share in of_sizes.items():
            print(f"{name}, batches of {size}: " + ", ".join(f"{words} {value:.3f}" for words, value in share.items()))
    write_result("padding", {"epochs": EPOCHS, "most_rows": MOST_ROWS, "padding_share": found})


def shares(task: Task) -> dict[str, dict[str, float]]:
    """Of the positions that a training computes, the share that is padding, for each batch size."""
    data = load_task_data(task.model_copy(update={"rows": Rows(train=MOST_ROWS)}), seed=0)
    splits, info, _ = encode_splits(task, data, resolve_model(task.models[0]), seed=0)
    lengths = splits["train"].lengths
    return {str(size): of_batches(lengths, info.max_length, size) for size in BATCH_SIZES}


def of_batches(lengths: np.ndarray, limit: int, size: int) -> dict[str, float]:
    """shuffled: as a plain loop pads them; like_length: as the engine does; captured: that in the widths of graphs."""
    steps = EPOCHS * -(-len(lengths) // size)
    order = np.random.default_rng(0).permutation(len(lengths))
    shuffled = [order[start : start + size] for start in range(0, len(order), size)]
    like = batches_ahead(lengths, size, 0, 0, steps)
    exact = [int(lengths[batch].max()) for batch in like]
    in_rows = graph_widths(like, Extent(lengths, limit), steps)
    return {
        "shuffled": padding_share(lengths, shuffled, [int(lengths[batch].max()) for batch in shuffled]),
        "like_length": padding_share(lengths, like, exact),
        "captured": padding_share(lengths, like, in_rows),
        "widths": float(len(set(in_rows))),
        **of_end_to_end(lengths, limit, size, steps),
    }


def of_end_to_end(lengths: np.ndarray, limit: int, size: int, steps: int) -> dict[str, float]:
    """Of graphs over rows of all texts of a batch. too_wide: share of the steps that none is wide enough for: they are eager
    and not padded."""
    extent = Extent(lengths, limit, end_to_end=True)
    shapes = plan_shapes([[batch] for batch in batches_ahead(extent.sorted_by, size, 0, 0, steps)], extent, steps)
    batches = list(islice(batches_from(extent.sorted_by, size, 0, 0), steps))
    computed, exact = (
        [width(batch) for batch in batches] for width in (lambda one: shapes.fit(*extent([one]))[0], extent.width)
    )
    too_wide = sum(width > shapes.forms[-1][0] for width in exact) / steps
    return {"end_to_end": 1 - sum(exact) / sum(computed), "too_wide": too_wide}


def graph_widths(batches: list[np.ndarray], extent: Extent, steps: int) -> list[int]:
    shapes = plan_shapes([[batch] for batch in batches], extent, steps)
    return [shapes.fit(*extent([batch]))[0] for batch in batches]


def padding_share(lengths: np.ndarray, batches: list[np.ndarray], widths: list[int]) -> float:
    computed = sum(len(batch) * width for batch, width in zip(batches, widths, strict=True))
    return 1 - sum(int(lengths[batch].sum()) for batch in batches) / computed


if __name__ == "__main__":
    main(sys.argv[1:])
