"""Makes a setup fit a device's memory: smaller micro-batches first, then gradient checkpointing."""

from __future__ import annotations

import math
import traceback
from collections.abc import Callable, Mapping
from dataclasses import replace

import transformers

from peftcost.core.memory import format_bytes
from peftcost.core.setup import ATTENTION, Scalar
from peftcost.cost.machines import needed_bytes, why_it_cannot_fit
from peftcost.data.features import Split
from peftcost.engine import ranks
from peftcost.engine.cuda_graphs import Extent, Form, with_headroom
from peftcost.engine.dataset import Collator, DatasetInfo, batches_of_epoch, micro_batches
from peftcost.engine.job import TrainJob
from peftcost.engine.layout import lies_end_to_end
from peftcost.engine.sharing import micro_batch_size
from peftcost.engine.step_estimate import DEPTHS, Shape, StepEstimate, estimate_step, extrapolated
from peftcost.engine.train_state import collator_for
from peftcost.errors import DoesNotFit, SetupFailed
from peftcost.methods import get_method
from peftcost.tasks import TaskType
from peftcost.tasks.targets import Targets

Choices = dict[str, Scalar]
MOST_EPOCHS, MOST_EXAMPLES = 16, 1_000_000
"""In which the largest batch is looked for."""


def estimate_of(
    config: transformers.PretrainedConfig,
    task_type: TaskType,
    method: str,
    choices: Mapping[str, Scalar],
    tokens: int,
    targets: Targets,
    device_kind: str = "cpu",
    n_ranks: int = 1,
    places: int | None = None,
) -> StepEstimate:
    """Of a step on a full batch of this many tokens a row, or on a rank's share of it; deep models are estimated at two
    smaller depths. places: of how many positions of a micro-batch logits are computed; None for all."""
    batch_size = math.ceil(int(choices["batch_size"] or 1) / n_ranks)
    shape = Shape(batch_size, tokens, min(batch_size, micro_batch_size(choices)), places)

    def estimate(some: transformers.PretrainedConfig) -> StepEstimate:
        return estimate_step(some, task_type, get_method(method), choices, shape, targets, device_kind)

    depth = int(getattr(config, "num_hidden_layers", 0) or 0)
    return extrapolated(config, estimate) if depth > 2 * DEPTHS[1] else estimate(config)


def fit_to(
    free_bytes: int, kind: str, choices: Choices, first: StepEstimate, estimate: Callable[[Choices], StepEstimate]
) -> tuple[Choices, StepEstimate]:
    """The choices, changed only as far as they must be to fit, and their estimate. DoesNotFit when nothing helps.

    first: the estimate of the choices as they are; estimate: gives that of others.
    """

    def needs(found: StepEstimate) -> int:
        return needed_bytes(found.peak_bytes, kind)

    if needs(first) <= free_bytes:
        return choices, first
    batch_size = int(choices["batch_size"] or 1)
    fixed = needed_bytes(sum(first.parts[name] for name in ("weights", "gradients", "optimizer")), kind)
    if fixed > free_bytes:
        raise DoesNotFit(
            f"needs {format_bytes(fixed)} of memory before the first example, and the device has {format_bytes(free_bytes)}"
        )
    for checkpointing in (False, True):
        least = {**choices, "micro_batch_size": 1, "gradient_checkpointing": checkpointing}
        found = estimate(least)
        if needs(found) > free_bytes:
            continue
        best = (least, found)
        # Activations grow with the micro-batch; each candidate is estimated, from the likely largest down.
        per_row = max(1, found.parts["activations"] + found.parts["temporary"])
        rows = 1 + int((free_bytes - needs(found)) / per_row)
        for micro in halves(min(rows, batch_size)):
            wider = {**least, "micro_batch_size": micro}
            found = estimate(wider)
            if needs(found) <= free_bytes:
                return wider, found
        return best
    raise DoesNotFit(
        f"needs {format_bytes(needs(first))}, and even one example at a time with gradient checkpointing needs "
        f"{format_bytes(needs(found))} of the device's {format_bytes(free_bytes)}"
    )


def halves(most: int) -> list[int]:
    """Powers of two from the largest that is not above `most`, down to 2."""
    return [2**i for i in range(max(0, most.bit_length() - 1), 0, -1)]


def longest_row(job: TrainJob, info: DatasetInfo, train: Split) -> int:
    """Tokens of the longest row that may meet in a batch."""
    return min(collator_of(job, info).max_tokens, int(train.lengths.max()))


def collator_of(job: TrainJob, info: DatasetInfo) -> Collator:
    return collator_for(info, get_method(job.setup.method), job.setup.hyperparameters)


def extent_of(job: TrainJob, info: DatasetInfo, train: Split) -> Extent:
    collator = collator_of(job, info)
    return Extent.of(train, collator, collator.task_type.target_counts(train, collator.max_tokens))


def job_estimate(job: TrainJob, info: DatasetInfo, train: Split, kind: str) -> Callable[[Mapping[str, Scalar]], StepEstimate]:
    """The estimate of the job's method with any choices, on the longest rows that may meet in a batch, on this kind of
    device."""
    longest = longest_row(job, info, train)
    config = transformers.AutoConfig.from_pretrained(info.model)
    extent = extent_of(job, info, train) if kind == "cuda" and job.ranks == 1 else None

    def estimate(choices: Mapping[str, Scalar]) -> StepEstimate:
        tokens, places = longest, None
        if extent is not None and extent.wanted is not None:
            attention = str(choices.get(ATTENTION))
            together = lies_end_to_end(attention, get_method(job.setup.method), choices, per_position=True)
            laid = replace(extent, end_to_end=together)
            width, wanted = largest_form(laid, choices, job.seed)
            places = with_headroom(wanted)
            rows = min(int(choices["batch_size"] or 1), micro_batch_size(choices))
            tokens = math.ceil(laid.with_headroom(width, rows) / rows) if together else longest
        return estimate_of(config, info.task_type, job.setup.method, choices, tokens, info.targets, kind, job.ranks, places)

    return estimate


def largest_form(extent: Extent, choices: Mapping[str, Scalar], seed: int) -> Form:
    """Into which every micro-batch of an epoch fits on a GPU; end to end, where the largest is a matter of chance, of several
    epochs. On a CPU, and of several ranks, steps are estimated as if all rows were as long as the longest, and all logits
    wanted."""
    epochs = min(MOST_EPOCHS, max(1, MOST_EXAMPLES // len(extent.lengths))) if extent.end_to_end else 1
    batch_size = int(choices["batch_size"] or 1)
    batches = [batch for epoch in range(epochs) for batch in batches_of_epoch(extent.sorted_by, batch_size, seed, epoch)]
    return extent([part for batch in batches for part in micro_batches(batch, micro_batch_size(choices))])


def fitted(job: TrainJob, info: DatasetInfo, train: Split, kind: str) -> tuple[TrainJob, int]:
    """The job with choices that fit its device, which is of this kind, and its peak_bytes; 0 where no estimate can be made (a
    model of dynamic shapes, say): then it is measured."""
    estimate, choices = job_estimate(job, info, train, kind), dict(job.setup.hyperparameters)
    try:
        found = estimate(choices)
        if job.memory_bytes:
            choices, found = fit_to(job.memory_bytes, kind, choices, found, estimate)
    except (DoesNotFit, SetupFailed):
        raise
    except Exception:  # whatever a stranger's model does under fake tensors
        traceback.print_exc()
        return job, 0
    return replace(job, setup=replace(job.setup, hyperparameters=choices)), found.peak_bytes


def predicted_peak_bytes(job: TrainJob, info: DatasetInfo, train: Split) -> int:
    """Of the job as it is. DoesNotFit when its device has too little memory."""
    kind = device_kind()
    found = job_estimate(job, info, train, kind)(job.setup.hyperparameters)
    why_not = why_it_cannot_fit(found.peak_bytes, job.memory_bytes, kind)
    if why_not is not None:
        raise DoesNotFit(why_not)
    return found.peak_bytes


def device_kind() -> str:
    """cpu, cuda or mps: what this process trains on."""
    return ranks.device().type
