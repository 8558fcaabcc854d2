"""A few real steps of a setup: does it run here at all, how fast, in how much memory."""

from __future__ import annotations

import gc
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from peftcost.core.setup import ATTENTION, WEIGHTS
from peftcost.cost.meter import Stopwatch, reset_peaks
from peftcost.engine import ranks
from peftcost.engine.answers import answering_seconds
from peftcost.engine.attention import VARLEN, attention_of, settled
from peftcost.engine.dataset import load_dataset_info, load_split
from peftcost.engine.evaluate import EVALUATION_BATCH_SIZE, evaluate
from peftcost.engine.fitting import device_kind, fitted
from peftcost.engine.job import NullReporter, Reporter, TrainJob
from peftcost.engine.precision import candidates
from peftcost.engine.schedule import plan_steps
from peftcost.engine.step_times import WORTH_CHANGING, step_times, usual_seconds
from peftcost.engine.train import Loop
from peftcost.engine.train_state import build, count_parameters
from peftcost.errors import DoesNotFit
from peftcost.methods import get_method
from peftcost.methods.layers import count_layers

WARM_EVALUATIONS = {"cuda": 1}
"""Before the one that is timed: on a GPU the first one loads kernels."""


def probe(payload: dict[str, Any], reporter: Reporter) -> dict[str, Any]:
    """payload: a TrainJob as dict. Returns the fields of a `Probe` (peftcost.cost.model); trains nothing to keep.

    The precision is the fastest that the device computes in; a causal model on a CPU is told to lay a batch's texts end to
    end where that is faster.
    """
    reporter.phase("plan")
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
    return float(found["seconds_per_example"] + found["frozen_seconds_per_example"])


def probed(job: TrainJob) -> dict[str, Any]:
    """The fields of a `Probe` for the job's setup in its precision."""
    folder = Path(job.prepared)
    info, train, dev = load_dataset_info(folder), load_split(folder, "train"), load_split(folder, "dev")
    predicted_peak_bytes = job.predicted_peak_bytes
    if not predicted_peak_bytes and device_kind() != "cuda":  # a GPU's jobs come estimated, where that can be done
        job, predicted_peak_bytes = fitted(job, info, train, device_kind())
    began = time.perf_counter()
    plan = plan_steps(job.setup, len(train))
    train_state = build(job.setup, job.seed, info, plan.total_steps)
    startup_seconds = time.perf_counter() - began

    def new_loop() -> Loop:
        return Loop(job, NullReporter(), train_state, train, dev, replace(plan, stable_steps=plan.total_steps + 1))

    train_state.model.train()
    if job.attentions:
        config: Any = train_state.plain.config

        def seconds() -> float:
            if attention_of(config) == VARLEN and not train_state.end_to_end:
                raise NotImplementedError("the base does not keep texts apart that lie end to end")
            return usual_seconds(new_loop())

        job = settled(job, train_state.plain, seconds)
        predicted_peak_bytes = job.predicted_peak_bytes
        reset_peaks(train_state.device)  # room for graphs is judged by what steps take, and these may take less
    loop = new_loop()
    times = step_times(loop)

    few = dev.first(EVALUATION_BATCH_SIZE)
    watch = Stopwatch(train_state.device)
    for _ in range(WARM_EVALUATIONS.get(train_state.device.type, 0)):
        evaluate(train_state.model, few, train_state.collator, train_state.device)
        watch.lap()
    evaluate(train_state.model, few, train_state.collator, train_state.device)
    evaluation_seconds = ranks.count() * watch.lap() / len(few)
    with train_state.accelerator.autocast():  # writing does not go through the forward pass that Accelerate has wrapped
        answering = answering_seconds(
            train_state.plain, folder, info, job.setup, train_state.device, evaluation_seconds / ranks.count()
        )
    trainable, total = count_parameters(train_state.plain)
    return {
        "startup_seconds": ranks.count() * startup_seconds,
        "seconds_per_example": times.step,
        "frozen_seconds_per_example": times.frozen,
        "fixed_seconds": times.fixed,
        "evaluation_seconds_per_example": evaluation_seconds,
        "answering_seconds": ranks.count() * answering,
        "peak_bytes": int(ranks.largest(loop.peak_bytes())),
        "trainable_parameters": trainable,
        "total_parameters": total,
        "predicted_peak_bytes": predicted_peak_bytes,
        "memory_key": job.setup.memory_key,
        "micro_batch_size": job.setup.hyperparameters["micro_batch_size"],
        "gradient_checkpointing": job.setup.hyperparameters["gradient_checkpointing"],
        "precision": job.setup.hyperparameters["precision"],
        "weights": job.setup.hyperparameters.get(WEIGHTS, "fp32"),
        "packing": loop.packs,
        "attention": job.setup.hyperparameters.get(ATTENTION),
        "layers": count_layers(train_state.plain),
        "top_layers": job.setup.hyperparameters.get("top_layers"),
    }
