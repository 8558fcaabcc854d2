"""Which setups can be trained over one pass of the base. Free of torch: the planner asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from peftcost.core.setup import CLASS_WEIGHTS, WORD_DROPOUT, Scalar, Setup
from peftcost.cost.model import CostModel
from peftcost.methods import get_method
from peftcost.methods.lora import Lora

EACH_ITS_OWN = (
    "learning_rate",
    "optimizer",
    "weight_decay",
    "warmup_steps",
    "cooldown_share",
    "max_grad_norm",
    "label_smoothing",
    "rank",
    "alpha_over_rank",
    "rslora",
    "adapter_dropout",
)
"""Choices in which setups of a pack may differ, beside their length. All others belong to the base and its one pass."""
MOST_MEMBERS = 8
"""Of a pack: where its step is no longer bound by starting kernels, more members take more time."""


def can_join(members: Sequence[Setup], one: Setup, cost: CostModel, free_bytes: int) -> bool:
    """Whether one more setup that waits can train with these. free_bytes: of the device, 0 if unknown."""
    has_room = len(members) < MOST_MEMBERS and (free_bytes == 0 or pack_bytes([*members, one], cost) <= free_bytes)
    return has_room and can_share([members[0], one]) is None


def pack_bytes(members: Sequence[Setup], cost: CostModel) -> int:
    """What a pack needs: its base once, and everything else of each member."""
    bases = [cost.base_bytes(setup) for setup in members]
    return max(bases) + sum(cost.predict(setup).peak_bytes - base for setup, base in zip(members, bases, strict=True))


def can_share(setups: Sequence[Setup]) -> str | None:
    """Why these setups cannot be trained over one pass of the base, or None if they can."""
    alone = next((reason for setup in setups if (reason := unsupported_reason(setup)) is not None), None)
    return alone or next((reason for other in setups[1:] if (reason := difference(setups[0], other)) is not None), None)


def unsupported_reason(setup: Setup) -> str | None:
    """Why this setup shares its pass with none, or None."""
    choices = setup.hyperparameters
    reasons = {
        f"{setup.method} is no LoRA, and only LoRA adapters are computed side by side": not is_lora(setup.method),
        "DoRA scales the base's own weights, so its base is not shared": bool(choices.get("dora")),
        "its rows have weights": bool(choices.get(CLASS_WEIGHTS)),
        "its words are hidden": bool(choices.get(WORD_DROPOUT)),
        "fp16 scales all gradients by what one of them was": choices["precision"] == "fp16",
        "its batches are accumulated from micro-batches": micro_batch_size(choices) < int(choices["batch_size"] or 1),
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def difference(one: Setup, other: Setup) -> str | None:
    """What of two setups would have to be the same, or None."""
    if one.method != other.method:
        return f"{one.method} and {other.method} are different methods"
    ours, theirs = one.hyperparameters, other.hyperparameters
    for name in sorted({*ours, *theirs} - {*EACH_ITS_OWN, "micro_batch_size"}):
        if ours.get(name) != theirs.get(name):
            return f"{name} is {ours.get(name)} for one and {theirs.get(name)} for another"
    return None


def is_lora(method: str) -> bool:
    return isinstance(get_method(method), Lora)


def micro_batch_size(choices: Mapping[str, Scalar]) -> int:
    return int(choices["micro_batch_size"] or choices["batch_size"] or 1)
