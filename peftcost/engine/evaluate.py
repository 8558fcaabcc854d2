"""Runs a model over a split and reduces each batch at once, so that logits never pile up."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from peftcost.core.statistics import nested_sample
from peftcost.data.features import Split
from peftcost.engine import ranks
from peftcost.engine.dataset import Collator, DatasetInfo
from peftcost.engine.job import TrainJob
from peftcost.engine.judged import judged
from peftcost.engine.source import Source, forward
from peftcost.errors import SetupFailed
from peftcost.tasks.batch import Batch

EVALUATION_BATCH_SIZE, EVALUATION_TOKENS = 64, 4096
"""Most rows and padded tokens of a batch: more are no quicker, and need memory that training in small micro-batches left."""
MOST_CLASSES = 64
"""Whose probabilities are kept of each example; of more they would take too much room."""


@dataclass(frozen=True)
class Evaluation:
    """rows: shape (n, k), what the task's `predict` gives, in the split's order. loss: mean cross entropy.
    log_probabilities: of each class, shape (n, classes), float16; None where there are no classes or too many."""

    rows: np.ndarray
    loss: float
    log_probabilities: np.ndarray | None = None


def evaluate(
    model: torch.nn.Module,
    split: Split,
    collator: Collator,
    device: torch.device,
    source: Source | None = None,
    chosen: np.ndarray | None = None,
) -> Evaluation:
    """Rows and loss of a split, or of the chosen examples of it; batches by length, in eval mode (the caller's mode is put
    back). Of several ranks each predicts its share, and all get the whole."""
    task_type = collator.task_type
    rows: list[np.ndarray] = []
    order: list[np.ndarray] = []
    logs: list[np.ndarray] = []
    loss_sum, count = 0.0, 0
    for indices, logits, batch in _forward(model, split, collator, device, source, chosen):
        loss, n = task_type.loss(logits, batch)
        loss_sum, count = loss_sum + float(loss), count + int(n)
        rows.append(task_type.predict(logits, batch, collator.targets))
        told = task_type.log_probabilities(logits)
        if told is not None and told.shape[-1] <= MOST_CLASSES:
            logs.append(told.cpu().numpy().astype(np.float16))
        order.append(indices)
    loss_sum, n_targets = ranks.total(loss_sum, count)
    back = np.argsort(ranks.gather(order), kind="stable")
    kept = ranks.gather(logs)[back].astype(np.float16) if ranks.largest(len(logs)) else None
    return Evaluation(ranks.gather(rows)[back].astype(np.float32), loss_sum / max(1, n_targets), kept)


def measure_dev(
    job: TrainJob, info: DatasetInfo, model: torch.nn.Module, dev: Split, collator: Collator, source: Source | None = None
) -> dict[str, Any]:
    """What a trained model's measurement says of the dev examples that the job asks for; their rows go to the job's folder.

    SetupFailed when the loss is not finite."""
    chosen = nested_sample(len(dev), job.dev_rows)
    evaluation = evaluate(model, dev, collator, next(model.parameters()).device, source, chosen)
    if not math.isfinite(evaluation.loss):
        raise SetupFailed("the dev loss is not finite after training; a lower learning rate may help")
    quality = ranks.on_main(lambda: judged(info, evaluation.rows, Path(job.out)))
    ranks.on_main(lambda: save_log_probabilities(evaluation, Path(job.out)))
    return {"seed": job.seed, "quality": quality, "dev_loss": evaluation.loss, "dev_rows": job.dev_rows}


def save_log_probabilities(evaluation: Evaluation, out: Path) -> None:
    """What the report reads of the dev examples."""
    if evaluation.log_probabilities is not None:
        np.save(out / "dev_log_probabilities.npy", evaluation.log_probabilities)


def describe(model: torch.nn.Module, split: Split, collator: Collator, device: torch.device) -> list[dict[str, Any]]:
    """What the task says of each example: label and probabilities, in the split's order."""
    found: dict[int, dict[str, Any]] = {}
    for indices, logits, batch in _forward(model, split, collator, device):
        described = collator.task_type.describe(logits, batch, collator.targets)
        found |= dict(zip((int(i) for i in indices), described, strict=True))
    return [found[i] for i in range(len(split))]


def latency_seconds(model: torch.nn.Module, split: Split, collator: Collator, device: torch.device, n: int = 7) -> float:
    """The median time of a forward pass of one example, over the first n examples."""
    model.eval()
    times = []
    with torch.inference_mode():
        for index in range(min(n, len(split))):
            batch = collator.batch(split, [index])
            start = time.perf_counter()
            logits = model(**batch.to(device).inputs).logits
            float(logits.sum())  # waits for the device
            times.append(time.perf_counter() - start)
    return statistics.median(times)


def _forward(
    model: torch.nn.Module,
    split: Split,
    collator: Collator,
    device: torch.device,
    source: Source | None = None,
    chosen: np.ndarray | None = None,
) -> Iterator[tuple[np.ndarray, torch.Tensor, Batch]]:
    was_training = model.training
    model.eval()
    every = ranks.shard(np.arange(len(split)) if chosen is None else chosen)
    with torch.inference_mode():
        for indices in batches_by_length(split.lengths, every):
            batch = collator.batch(split, indices).to(device)
            if source is not None:
                batch = source.fill(indices, batch)
            yield indices, forward(model, batch, None if source is None else source.frozen_layers), batch
    model.train(was_training)


def batches_by_length(lengths: np.ndarray, chosen: np.ndarray) -> Iterator[np.ndarray]:
    """The chosen indices, shortest first, in batches within the bounds; a row that is longer than them stands alone."""
    left = chosen[np.argsort(lengths[chosen], kind="stable")]
    while len(left):
        few = left[:EVALUATION_BATCH_SIZE]
        size = max(1, int(np.sum(np.arange(1, len(few) + 1) * lengths[few] <= EVALUATION_TOKENS)))
        yield left[:size]
        left = left[size:]
