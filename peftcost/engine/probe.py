"""A few real steps of a setup: does it run here at all, how fast, in how much memory."""

from __future__ import annotations

import gc
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from peftcost.core.setup import WEIGHTS
from peftcost.cost.meter import Stopwatch
from peftcost.engine.evaluate import EVALUATION_BATCH_SIZE, evaluate
from peftcost.engine.fitting import device_kind, fitted
from peftcost.engine.job import Silent, Tell, TrainJob
from peftcost.engine.packing import can_pack
from peftcost.engine.precision import candidates
from peftcost.engine.prepared import Split, batches_of_epoch, load_about, load_split, padded_tokens
from peftcost.engine.schedule import plan_steps
from peftcost.engine.train import Loop
from peftcost.engine.trainee import build, count_parameters
from peftcost.errors import DoesNotFit
from peftcost.methods import get_method
from peftcost.methods.layers import count_layers

TIMED_STEPS = 3
WARM_EVALUATIONS = {"cuda": 1}
"""Before the one that is timed: on a GPU the first one loads kernels."""
WORTH_CHANGING = 0.9
"""bf16 and packing are taken where a step takes less than this share of the time without."""


def probe(payload: dict[str, Any], tell: Tell) -> dict[str, Any]:
    """payload: a TrainJob as dict. Returns the fields of a `Probe` (peftcost.cost.model); trains nothing to keep.

    The precision is the fastest that the device computes in; a causal model on a CPU is told to lay a batch's texts end to
    end where that is faster.
    """
    tell.phase("plan")
    job = TrainJob.from_dict(payload)
    choices = job.setup.hyperparameters
    method = get_method(job.setup.method)
    tries = candidates(method, device_kind()) if choices["precision"] == "fp32" else [{}]
    best: dict[str, Any] | None = None
    for changes in tries:
        gc.collect()  # an earlier one's model and its frozen layers refer to each other
        try:
            found = probed(replace(job, setup=replace(job.setup, hyperparameters={**choices, **changes})))
        except (RuntimeError, ValueError, TypeError, NotImplementedError, DoesNotFit):
            if best is None:
                raise
            continue  # some kernels have no bf16 form
        if best is None or step_time(found) < WORTH_CHANGING * step_time(best):
            best = found
    assert best is not None, "there is at least one candidate"
    return best


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
    whole = [batch for batch in batches if len(batch) == batch_size] or batches
    with loop.capture_steps():
        times = captured_times(loop, whole) if loop.graphs is not None else eager_times(loop, batches, whole)
    loop.graphs = None

    few = first_rows(dev, EVALUATION_BATCH_SIZE)
    watch = Stopwatch(trainee.device)
    for _ in range(WARM_EVALUATIONS.get(trainee.device.type, 0)):
        evaluate(trainee.model, few, trainee.reader, trainee.device)
        watch.lap()
    evaluate(trainee.model, few, trainee.reader, trainee.device)
    evaluation_seconds = watch.lap() / len(few)
    trainable, total = count_parameters(trainee.plain)
    return {
        "startup_seconds": startup_seconds,
        "seconds_per_example": times.step,
        "prefix_seconds_per_example": times.prefix,
        "fixed_seconds": times.fixed,
        "evaluation_seconds_per_example": evaluation_seconds,
        "peak_bytes": loop.peak_bytes(),
        "trainable_parameters": trainable,
        "total_parameters": total,
        "predicted_peak_bytes": footprint.peak_bytes,
        "memory_key": job.setup.memory_key,
        "micro_batch_size": job.setup.hyperparameters["micro_batch_size"],
        "gradient_checkpointing": job.setup.hyperparameters["gradient_checkpointing"],
        "precision": job.setup.hyperparameters["precision"],
        "weights": job.setup.hyperparameters.get(WEIGHTS, "fp32"),
        "packing": loop.packs,
        "layers": count_layers(trainee.plain),
        "top_layers": job.setup.hyperparameters.get("top_layers"),
    }


@dataclass(frozen=True)
class Times:
    """Seconds of a training an example: of the steps without the frozen layers, of these; and what comes once."""

    step: float
    prefix: float = 0.0
    fixed: float = 0.0


def eager_times(loop: Loop, batches: list[np.ndarray], whole: list[np.ndarray]) -> Times:
    """From the first few batches. whole: those that are full, which tell how much is padded."""
    timed = batches[: TIMED_STEPS + 1]
    per_token, prefix_rate = seconds_per_token(loop, timed)
    may_pack = loop.trainee.prefix is None and loop.trainee.device.type != "cuda"  # an index error there cannot be caught
    if may_pack and can_pack(loop.trainee.model, loop.trainee.reader.pad_id):
        loop.packs = True
        packed_per_token, _ = seconds_per_token(loop, timed)
        loop.packs = packed_per_token < WORTH_CHANGING * per_token
        per_token = packed_per_token if loop.packs else per_token
    tokens_per_example = padded_tokens(loop.split, whole) / sum(len(batch) for batch in whole)
    return Times(max(0.0, per_token - prefix_rate) * tokens_per_example, prefix_rate * tokens_per_example)


def captured_times(loop: Loop, whole: list[np.ndarray]) -> Times:
    """From one batch of middling length: its first step runs eagerly, its second is captured, then it is replayed."""
    assert loop.graphs is not None
    usual = sorted(whole, key=lambda indices: int(loop.split.lengths[indices].max()))[len(whole) // 2]
    watch = Stopwatch(loop.trainee.device)
    seconds = []
    for _ in range(2 + TIMED_STEPS):
        loop.train_step(usual)
        seconds.append(watch.lap())
    step, prefix = min(seconds[2:]), 0.0
    if loop.source is not None:
        batch = loop.trainee.reader.batch(loop.split, usual)
        prefixes = []
        for _ in range(TIMED_STEPS):
            watch.lap()
            loop.source.compute(batch)
            prefixes.append(watch.lap())
        prefix = min(prefixes)
    fixed = len(loop.graphs.shapes.widths) * max(0.0, seconds[0] + seconds[1] - 2 * step)
    return Times(max(0.0, step - prefix) / len(usual), prefix / len(usual), fixed)


def seconds_per_token(loop: Loop, batches: list[np.ndarray]) -> tuple[float, float]:
    """Of a training step, and of the prefix in it, over the batches' padded tokens. The quickest step counts: the first
    ones still allocate, and whatever else disturbs only adds."""
    watch = Stopwatch(loop.trainee.device)
    steps, prefixes = [], [0.0]
    for indices in batches:
        loop.train_step(indices)
        seconds, tokens = watch.lap(), padded_tokens(loop.split, [indices])
        steps.append(seconds / tokens)
        if loop.source is not None:
            batch = loop.trainee.reader.batch(loop.split, indices)
            watch.lap()
            loop.source.compute(batch)
            prefixes.append(watch.lap() / tokens)
    return min(steps[1:] or steps), min(prefixes[1:], default=0.0)


def first_rows(split: Split, n: int) -> Split:
    n = min(n, len(split))
    return Split(split.ids, split.offsets[: n + 1], split.targets, split.target_offsets[: n + 1])
