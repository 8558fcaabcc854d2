"""What one setup would take on a device: memory, time, and what would make it fit."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from peftcost.core.setup import Scalar, Setup
from peftcost.cost.machines import needed_bytes
from peftcost.errors import DoesNotFit, SetupFailed
from peftcost.methods import get_method
from peftcost.planning.subject import Subject
from peftcost.planning.target import Target

if TYPE_CHECKING:
    from peftcost.engine.step_estimate import StepEstimate


@dataclass(frozen=True)
class PlannedSetup:
    """What one setup would take. parts sum to peak_bytes; needed_bytes is what the device must have free for it.

    gpu_seconds: of one epoch. would_fit_with: the choices that make it fit, None when it fits or nothing helps.
    reason: why it cannot be trained at all, or None.
    """

    method: str
    hyperparameters: Mapping[str, Scalar]
    trainable_parameters: int = 0
    total_parameters: int = 0
    peak_bytes: int = 0
    needed_bytes: int = 0
    parts: Mapping[str, int] = field(default_factory=dict)
    flops_per_step: float = 0.0
    seconds_per_step: float = 0.0
    gpu_seconds: float = 0.0
    price: float | None = None
    fits: bool = False
    would_fit_with: Mapping[str, Scalar] | None = None
    reason: str | None = None


def typical(method: str, batch_size: int | None, target: Target) -> list[dict[str, Scalar]]:
    """The prior-best choices, in the precision that suits a GPU, and beside them a typical larger variant: rank 32, or two
    layers on top."""
    from peftcost.engine.precision import on_gpu

    suited = on_gpu(get_method(method), target.computes_in_bf16) if target.kind == "cuda" else {}
    batch: dict[str, Scalar] = {} if batch_size is None else {"batch_size": batch_size, "micro_batch_size": batch_size}
    prior = get_method(method).prior()
    variants: list[dict[str, Scalar]] = [{}]
    if "dora" in prior:
        variants.append({"rank": 32})
    if prior.get("top_layers") == 0:
        variants.append({"top_layers": 2})
    return [dict(Setup.of(method, {**prior, **suited, **batch, **variant}, 0).hyperparameters) for variant in variants]


def planned(subject: Subject, target: Target, method: str, choices: dict[str, Scalar], price: float | None) -> PlannedSetup:
    """One setup estimated: on the longest rows for memory, on usual ones for time."""
    from peftcost.engine.fitting import estimate_of, fit_to

    unsupported_reason = get_method(method).unsupported_reason(subject.config, target.kind)
    if unsupported_reason is not None:
        return PlannedSetup(method, choices, reason=unsupported_reason)

    room = subject.positions - get_method(method).virtual_tokens(choices)
    longest, often = min(subject.longest, room), min(subject.usual, room)

    def estimate(some: Mapping[str, Scalar], tokens: int = longest) -> StepEstimate:
        return estimate_of(subject.config, subject.task_type, method, some, tokens, subject.targets, target.kind)

    changes: dict[str, Scalar] | None = None
    try:
        found = estimate(choices)
        usual = found if often == longest else estimate(choices, often)
        with contextlib.suppress(DoesNotFit):
            fitting, _ = fit_to(target.memory_bytes, target.kind, choices, found, estimate)
            changes = {key: value for key, value in fitting.items() if value != choices[key]}
    except SetupFailed as error:
        return PlannedSetup(method, choices, reason=str(error))
    except Exception as error:  # whatever a stranger's model does under fake tensors: the other methods are planned
        return PlannedSetup(method, choices, reason=f"no estimate can be made ({type(error).__name__}: {error})"[:300])
    seconds = target.rates(str(choices["precision"])).seconds(usual.work)
    gpu_seconds = seconds * -(-subject.rows // int(choices["batch_size"] or 1))
    return PlannedSetup(
        method=method,
        hyperparameters=choices,
        trainable_parameters=found.trainable_parameters,
        total_parameters=found.total_parameters,
        peak_bytes=found.peak_bytes,
        needed_bytes=needed_bytes(found.peak_bytes, target.kind),
        parts=found.parts,
        flops_per_step=usual.work.flops,
        seconds_per_step=seconds,
        gpu_seconds=gpu_seconds,
        price=None if price is None else gpu_seconds / 3600 * price,
        fits=changes == {},
        would_fit_with=changes or None,
    )
