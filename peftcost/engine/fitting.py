"""Makes a setup fit a device's memory: smaller micro-batches first, then gradient checkpointing."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
import transformers

from peftcost.core.memory import spell_bytes
from peftcost.core.setup import Scalar, Setup
from peftcost.cost.machines import needed_bytes
from peftcost.engine.job import TrainJob
from peftcost.engine.prepared import About, Split
from peftcost.engine.rehearsal import DEPTHS, Footprint, Shape, rehearse, rehearse_at_depths
from peftcost.errors import DoesNotFit
from peftcost.methods import get_method

Choices = dict[str, Scalar]


def footprint_of(
    config: transformers.PretrainedConfig,
    auto_model: str,
    method: str,
    choices: Mapping[str, Scalar],
    tokens: int,
    n_labels: int,
) -> Footprint:
    """Of a step on a full batch of this many tokens a row; deep models are rehearsed at two smaller depths."""
    batch_size = int(choices["batch_size"] or 1)
    shape = Shape(batch_size, tokens, min(batch_size, int(choices["micro_batch_size"] or batch_size)))
    depth = int(getattr(config, "num_hidden_layers", 0) or 0)
    rehearsal = rehearse_at_depths if depth > 2 * DEPTHS[1] else rehearse
    return rehearsal(config, auto_model, get_method(method), choices, shape, n_labels)


def fit_to(
    free_bytes: int, kind: str, choices: Choices, footprint: Callable[[Choices], Footprint]
) -> tuple[Choices, Footprint]:
    """The choices, changed only as far as they must be to fit, and their footprint. DoesNotFit when nothing helps."""

    def needs(found: Footprint) -> int:
        return needed_bytes(found.peak_bytes, kind)

    first = footprint(choices)
    if needs(first) <= free_bytes:
        return choices, first
    batch_size = int(choices["batch_size"] or 1)
    fixed = needed_bytes(sum(first.parts[name] for name in ("weights", "gradients", "optimizer")), kind)
    if fixed > free_bytes:
        raise DoesNotFit(
            f"needs {spell_bytes(fixed)} of memory before the first example, and the device has {spell_bytes(free_bytes)}"
        )
    for checkpointing in (False, True):
        least = {**choices, "micro_batch_size": 1, "gradient_checkpointing": checkpointing}
        found = footprint(least)
        if needs(found) > free_bytes:
            continue
        best = (least, found)
        # Activations grow with the micro-batch; each candidate is rehearsed, from the likely largest down.
        per_row = max(1, found.parts["activations"] + found.parts["temporary"])
        rows = 1 + int((free_bytes - needs(found)) / per_row)
        for micro in halves(min(rows, batch_size)):
            wider = {**least, "micro_batch_size": micro}
            found = footprint(wider)
            if needs(found) <= free_bytes:
                return wider, found
        return best
    raise DoesNotFit(
        f"needs {spell_bytes(needs(first))}, and even one example at a time with gradient checkpointing needs "
        f"{spell_bytes(needs(found))} of the device's {spell_bytes(free_bytes)}"
    )


def halves(most: int) -> list[int]:
    """Powers of two from the largest that is not above `most`, down to 2."""
    return [2**i for i in range(max(0, most.bit_length() - 1), 0, -1)]


def fitted(job: TrainJob, about: About, train: Split) -> tuple[TrainJob, Footprint]:
    """The job with choices that fit its device, on the longest rows that may meet in a batch, and the footprint."""
    setup, longest = job.setup, min(about.max_length, int(train.lengths.max()))
    config = transformers.AutoConfig.from_pretrained(about.model)

    def footprint(choices: Mapping[str, Scalar]) -> Footprint:
        return footprint_of(config, about.auto_model, setup.method, choices, longest, len(about.labels))

    choices = dict(setup.hyperparameters)
    if not job.memory_bytes:
        return job, footprint(choices)
    kind = "cuda" if torch.cuda.is_available() and os.environ.get("ACCELERATE_USE_CPU") != "true" else "cpu"
    choices, found = fit_to(job.memory_bytes, kind, choices, footprint)
    return replace(job, setup=Setup(setup.method, choices, setup.stop_examples)), found
