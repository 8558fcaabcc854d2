"""What writing the answers that a search asks for at its end takes: an estimate, from the size of the model alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from peftcost.cost.model import WEIGHT_BYTES, WRITERS
from peftcost.cost.rates import Work
from peftcost.planning.predict import PlannedSetup
from peftcost.planning.subject import Subject
from peftcost.planning.target import Target

KERNELS_A_LAYER = 40
"""Operators that a layer of a language model starts for a token, as transformers has it."""
ROWS_AT_ONCE = 64


@dataclass(frozen=True)
class PlannedWriting:
    """rows: prompts; new_tokens: the most for each; models: that answer them. gpu_seconds: of all models together."""

    rows: int
    new_tokens: int
    models: int
    gpu_seconds: float


def planned_writing(subject: Subject, setups: Sequence[PlannedSetup], target: Target) -> PlannedWriting | None:
    """None where nothing is to be written."""
    known = [s for s in setups if s.reason is None]
    if subject.asked_rows == 0 or not known:
        return None
    parameters = max(s.total_parameters for s in known)
    precision = str(known[0].hyperparameters["precision"])
    passes = -(-subject.asked_rows // ROWS_AT_ONCE) * subject.new_tokens
    layers = int(getattr(subject.config, "num_hidden_layers", 0) or 1)
    work = Work(
        matmul_flops=2.0 * parameters * subject.asked_rows * (subject.usual + subject.new_tokens),
        moved_bytes=float(parameters * WEIGHT_BYTES["fp32" if precision == "fp32" else "bf16"] * passes),
        kernels=float(KERNELS_A_LAYER * layers * passes),
    )
    seconds = WRITERS * target.rates(precision).seconds(work)
    return PlannedWriting(subject.asked_rows, subject.new_tokens, WRITERS, seconds)
