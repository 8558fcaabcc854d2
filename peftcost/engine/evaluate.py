"""Runs a model over a split and reduces each batch at once, so that logits never pile up."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from peftcost.engine.prepared import Split, collate
from peftcost.tasks import TaskType

EVALUATION_BATCH_SIZE = 64


@dataclass(frozen=True)
class Reader:
    """What is needed to turn a split into batches for one model."""

    task_type: TaskType
    labels: Sequence[str]
    pad_id: int
    max_tokens: int


@dataclass(frozen=True)
class Evaluation:
    """rows: shape (n, k), what the task's `predict` gives, in the split's order. loss: mean cross entropy."""

    rows: np.ndarray
    loss: float


def evaluate(model: torch.nn.Module, split: Split, reader: Reader, device: torch.device) -> Evaluation:
    """Rows and loss of a split; batches by length, in eval mode (the caller's mode is put back)."""
    rows: list[np.ndarray] = []
    order: list[np.ndarray] = []
    loss_sum, count = 0.0, 0
    for indices, logits, targets in _forward(model, split, reader, device):
        loss, n = reader.task_type.loss(logits, targets)
        loss_sum, count = loss_sum + float(loss), count + n
        rows.append(reader.task_type.predict(logits, targets, reader.labels))
        order.append(indices)
    back = np.argsort(np.concatenate(order), kind="stable")
    return Evaluation(np.concatenate(rows)[back].astype(np.float32), loss_sum / max(1, count))


def describe(model: torch.nn.Module, split: Split, reader: Reader, device: torch.device) -> list[dict[str, Any]]:
    """What the task says of each example: label and probabilities, in the split's order."""
    found: dict[int, dict[str, Any]] = {}
    for indices, logits, targets in _forward(model, split, reader, device):
        described = reader.task_type.describe(logits, targets, reader.labels)
        found |= dict(zip((int(i) for i in indices), described, strict=True))
    return [found[i] for i in range(len(split))]


def latency_seconds(model: torch.nn.Module, split: Split, reader: Reader, device: torch.device, n: int = 15) -> float:
    """The median time of a forward pass of one example, over the first n examples."""
    model.eval()
    times = []
    with torch.inference_mode():
        for index in range(min(n, len(split))):
            batch = collate(split, [index], reader.pad_id, reader.task_type, reader.max_tokens)
            start = time.perf_counter()
            logits = model(input_ids=batch.input_ids.to(device), attention_mask=batch.attention_mask.to(device)).logits
            float(logits.sum())  # waits for the device
            times.append(time.perf_counter() - start)
    return statistics.median(times)


def _forward(model: torch.nn.Module, split: Split, reader: Reader, device: torch.device):  # type: ignore[no-untyped-def]
    was_training = model.training
    model.eval()
    by_length = np.argsort(split.lengths, kind="stable")
    with torch.inference_mode():
        for start in range(0, len(by_length), EVALUATION_BATCH_SIZE):
            indices = by_length[start : start + EVALUATION_BATCH_SIZE]
            batch = collate(split, indices, reader.pad_id, reader.task_type, reader.max_tokens)
            output = model(input_ids=batch.input_ids.to(device), attention_mask=batch.attention_mask.to(device))
            logits = aligned(output.logits, batch.input_ids).float()
            yield indices, logits, batch.targets.to(device)
    model.train(was_training)


def aligned(logits: torch.Tensor, input_ids: torch.Tensor) -> torch.Tensor:
    """Per-token logits without those of virtual tokens, which prompt tuning puts in front of the inputs."""
    return logits[:, -input_ids.shape[1] :] if logits.ndim == 3 else logits
