"""A few real steps of a setup: does it run here at all, how fast, in how much memory."""

from __future__ import annotations

import gc
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from peftcost.cost.device import cpu_computes_in_bf16
from peftcost.cost.meter import Stopwatch
from peftcost.engine.evaluate import EVALUATION_BATCH_SIZE, evaluate
from peftcost.engine.fitting import device_kind, fitted
from peftcost.engine.job import Silent, Tell, TrainJob
from peftcost.engine.packing import can_pack
from peftcost.engine.prepared import Split, batches_of_epoch, load_about, load_split, padded_tokens
from peftcost.engine.schedule import plan_steps
from peftcost.engine.train import Loop
from peftcost.engine.trainee import build, count_parameters
from peftcost.errors import DoesNotFit
from peftcost.methods.layers import count_layers

TIMED_STEPS = 3
WORTH_CHANGING = 0.9
"""bf16 and packing are taken where a step takes less than this share of the time without."""


def probe(payload: dict[str, Any], tell: Tell) -> dict[str, Any]:
    """payload: a TrainJob as dict. Returns the fields of a `Probe` (peftcost.cost.model); trains nothing to keep.

    Where the device computes in bf16, both precisions are tried, and the faster one is told; so is whether a causal model is
    faster with a batch's texts laid end to end.
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
    timed = batches[: TIMED_STEPS + 1]
    per_token, prefix_rate = seconds_per_token(loop, timed)
    packing = False
    if trainee.prefix is None and can_pack(trainee.model, trainee.reader.pad_id):
        loop.packs = True
        packed_per_token, _ = seconds_per_token(loop, timed)
        loop.packs = packing = packed_per_token < WORTH_CHANGING * per_token
        per_token = packed_per_token if packing else per_token
    whole = [batch for batch in batches if len(batch) == batch_size] or batches
    tokens_per_example = padded_tokens(train, whole) / sum(len(batch) for batch in whole)

    few = first_rows(dev, EVALUATION_BATCH_SIZE)
    watch = Stopwatch(trainee.device)
    evaluate(trainee.model, few, trainee.reader, trainee.device)
    evaluation_seconds = watch.lap() / len(few)
    trainable, total = count_parameters(trainee.plain)
    return {
        "startup_seconds": startup_seconds,
        "seconds_per_example": max(0.0, per_token - prefix_rate) * tokens_per_example,
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
        "packing": packing,
        "layers": count_layers(trainee.plain),
        "top_layers": job.setup.hyperparameters.get("top_layers"),
    }


def seconds_per_token(loop: Loop, batches: list[np.ndarray]) -> tuple[float, float]:
    """Of a training step, and of the prefix in it, over the batches' padded tokens. The quickest step counts: the first
    ones still allocate, and whatever else disturbs only adds."""
    trainee, device = loop.trainee, loop.trainee.device
    watch = Stopwatch(device)
    steps, prefixes = [], [0.0]
    for indices in batches:
        loop._accumulate(indices)
        loop._update()
        seconds, tokens = watch.lap(), padded_tokens(loop.split, [indices])
        steps.append(seconds / tokens)
        if trainee.prefix is not None:
            batch = trainee.reader.batch(loop.split, indices)
            watch.lap()
            trainee.prefix.run(batch.input_ids.to(device), batch.attention_mask.to(device))
            prefixes.append(watch.lap() / tokens)
    return min(steps[1:] or steps), min(prefixes[1:], default=0.0)


def first_rows(split: Split, n: int) -> Split:
    n = min(n, len(split))
    return Split(split.ids, split.offsets[: n + 1], split.targets, split.target_offsets[: n + 1])
