"""A few real steps of a setup: does it run here at all, how fast, in how much memory."""

from __future__ import annotations

import gc
import time
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from peftcost.cost.device import cpu_computes_in_bf16
from peftcost.cost.meter import Stopwatch
from peftcost.engine.evaluate import EVALUATION_BATCH_SIZE, evaluate
from peftcost.engine.fitting import device_kind, fitted
from peftcost.engine.job import Silent, Tell, TrainJob
from peftcost.engine.prepared import Split, batches_of_epoch, load_about, load_split, padded_tokens
from peftcost.engine.schedule import plan_steps
from peftcost.engine.train import Loop
from peftcost.engine.trainee import build, count_parameters
from peftcost.errors import DoesNotFit
from peftcost.methods.layers import count_layers

TIMED_STEPS = 3
WORTH_CHANGING = 0.9
"""bf16 is taken where a step takes less than this share of the time in fp32."""


def probe(payload: dict[str, Any], tell: Tell) -> dict[str, Any]:
    """payload: a TrainJob as dict. Returns the fields of a `Probe` (peftcost.cost.model); trains nothing to keep.

    Where the device computes in bf16, both precisions are tried, and the faster one is told.
    """
    tell.phase("plan")
    job = TrainJob.from_dict(payload)
    found = probed(job)
    if job.setup.hyperparameters["precision"] != "fp32" or not computes_in_bf16(device_kind()):
        return found
    gc.collect()  # the first one's model and its prefix refer to each other
    try:
        other = probed(
            replace(job, setup=replace(job.setup, hyperparameters={**job.setup.hyperparameters, "precision": "bf16"}))
        )
    except (RuntimeError, ValueError, TypeError, NotImplementedError, DoesNotFit):  # some kernels have no bf16 form
        return found
    return other if step_time(other) < WORTH_CHANGING * step_time(found) else found


def computes_in_bf16(kind: str) -> bool:
    """Whether bf16 is worth a try on this kind of device."""
    return (
        torch.cuda.is_bf16_supported(including_emulation=False)
        if kind == "cuda"
        else kind == "cpu" and cpu_computes_in_bf16()
    )


def step_time(found: dict[str, Any]) -> float:
    return float(found["seconds_per_example"] + found["prefix_seconds_per_example"])


def probed(job: TrainJob) -> dict[str, Any]:
    """The fields of a `Probe` for the job's setup in its precision."""
    folder = Path(job.prepared)
    about, train, dev = load_about(folder), load_split(folder, "train"), load_split(folder, "dev")
    job, footprint = fitted(job, about, train)
    began = time.perf_counter()
    plan = plan_steps(job.setup, len(train))
    trainee = build(job.setup, job.seed, about, plan.total_steps)
    startup_seconds = time.perf_counter() - began

    loop = Loop(job, Silent(), trainee, train, dev, replace(plan, trunk_steps=plan.total_steps + 1))
    trainee.model.train()
    batch_size = int(job.setup.hyperparameters["batch_size"] or 1)
    batches = batches_of_epoch(train.lengths, batch_size, job.seed, 0)
    watch = Stopwatch(trainee.device)
    per_token, prefix_per_token = [], [0.0]
    for i, indices in enumerate(islice(batches, TIMED_STEPS + 1)):
        loop._accumulate(indices)
        loop._update()
        seconds = watch.lap()
        tokens = padded_tokens(train, [indices])
        if i or len(batches) == 1:  # the first step allocates
            per_token.append(seconds / tokens)
        if trainee.prefix is not None:
            batch = trainee.reader.batch(train, indices)
            watch.lap()
            trainee.prefix.run(batch.input_ids.to(trainee.device), batch.attention_mask.to(trainee.device))
            prefix_per_token.append(watch.lap() / tokens)
    prefix_rate = min(prefix_per_token[1:], default=0.0)
    whole = [batch for batch in batches if len(batch) == batch_size] or batches
    tokens_per_example = padded_tokens(train, whole) / sum(len(batch) for batch in whole)

    few = first_rows(dev, EVALUATION_BATCH_SIZE)
    watch.lap()
    evaluate(trainee.model, few, trainee.reader, trainee.device)
    evaluation_seconds = watch.lap() / len(few)
    trainable, total = count_parameters(trainee.plain)
    # The quickest step: the first ones still allocate, and whatever else disturbs only adds.
    return {
        "startup_seconds": startup_seconds,
        "seconds_per_example": max(0.0, min(per_token) - prefix_rate) * tokens_per_example,
        "prefix_seconds_per_example": prefix_rate * tokens_per_example,
        "evaluation_seconds_per_example": evaluation_seconds,
        "peak_bytes": loop.peak_bytes(),
        "trainable_parameters": trainable,
        "total_parameters": total,
        "predicted_peak_bytes": footprint.peak_bytes,
        "memory_key": job.setup.memory_key,
        "micro_batch_size": job.setup.hyperparameters["micro_batch_size"],
        "gradient_checkpointing": job.setup.hyperparameters["gradient_checkpointing"],
        "precision": job.setup.hyperparameters["precision"],
        "layers": count_layers(trainee.plain),
        "top_layers": job.setup.hyperparameters.get("top_layers"),
    }


def first_rows(split: Split, n: int) -> Split:
    n = min(n, len(split))
    return Split(split.ids, split.offsets[: n + 1], split.targets, split.target_offsets[: n + 1])
