"""Whether a setup that people have written makes sense, before any work: by the method's own choices, and by their kinds.

What a search would vary is no limit: a rank of 256 is as good a choice as one of 8.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

from peftcost.core.setup import ATTENTION, CLASS_WEIGHTS, PACKING, TRAINING_DEFAULTS, WEIGHTS, WORD_DROPOUT, Scalar, Setup
from peftcost.errors import UserError
from peftcost.methods import get_method


@dataclass(frozen=True)
class Kind:
    """Which values make sense. words: that, as in "it must be …"."""

    words: str
    holds: Callable[[Scalar], bool]

    @property
    def or_null(self) -> Kind:
        return Kind(f"{self.words}, or null", lambda value: value is None or self.holds(value))


def is_number(value: Scalar) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def number(words: str, holds: Callable[[float], bool]) -> Kind:
    return Kind(f"a number {words}", lambda value: is_number(value) and holds(value))  # type: ignore[arg-type]


def whole(least: int) -> Kind:
    return Kind(
        f"a whole number, {least} or more",
        lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= least,
    )


def one_of(*values: Scalar) -> Kind:
    return Kind(" or ".join(map(str, values)), lambda value: isinstance(value, str) and value in values)


YES_OR_NO = Kind("true or false", lambda value: isinstance(value, bool))
ABOVE_0 = number("above 0", lambda value: value > 0)
FROM_0 = number("not below 0", lambda value: value >= 0)
SHARE = number("from 0 to below 1", lambda value: 0 <= value < 1)

KINDS = {
    "batch_size": whole(1),
    "micro_batch_size": whole(1).or_null,
    "optimizer": one_of("adamw", "sgd"),
    "warmup_steps": whole(0),
    "cooldown_share": number("from 0 to 1", lambda value: 0 <= value <= 1),
    "max_grad_norm": ABOVE_0,
    "label_smoothing": SHARE,
    "dropout": SHARE.or_null,
    "adapter_dropout": SHARE,
    "top_layers": whole(0).or_null,
    "alpha_over_rank": ABOVE_0,
    "precision": one_of("fp32", "bf16", "fp16"),
    PACKING: YES_OR_NO,
    CLASS_WEIGHTS: one_of("balanced").or_null,
    WORD_DROPOUT: SHARE.or_null,
    WEIGHTS: one_of("fp32", "bf16"),
    ATTENTION: one_of("sdpa", "eager", "varlen", "flash_attention_2"),
}
"""Of choices of which neither a space nor a usual value tells enough."""

SOMETIMES = (PACKING, CLASS_WEIGHTS, WORD_DROPOUT, WEIGHTS, ATTENTION)
"""Choices that no method has by itself, of setups that differ from what is usual."""


def check_choices(setup: Setup, where: str) -> None:
    """UserError for a choice that the method does not have, or a value that makes no sense for it."""
    method = get_method(setup.method)
    usual, space = {**TRAINING_DEFAULTS, **method.prior()}, method.space()
    known = {*usual, *SOMETIMES, *space}
    for name, value in setup.hyperparameters.items():
        if name not in known:
            raise UserError(f"{where}: {setup.method} has no choice {name!r}; it has {', '.join(sorted(known))}.")
        kind = KINDS.get(name) or kind_of(usual.get(name), space.get(name))
        if kind is not None and not kind.holds(value):
            raise UserError(f"{where}: {name} of {setup.method} is {value!r}; it must be {kind.words}.")


def kind_of(usual: Scalar, space: BaseDistribution | None) -> Kind | None:
    """What a choice must be, as far as its usual value and what a search varies tell; None where they tell nothing."""
    varied: tuple[object, ...] = space.choices if isinstance(space, CategoricalDistribution) else ()
    some = [value for value in (*varied, usual) if value is not None]
    if isinstance(space, FloatDistribution):
        return ABOVE_0 if space.log else Kind("a number", is_number)
    if some and all(isinstance(value, bool) for value in some):
        return YES_OR_NO
    if some and all(isinstance(value, int) for value in some) and varied:
        kind = whole(min(1, *(int(value) for value in some if isinstance(value, int))))
        return kind.or_null if None in varied else kind
    return FROM_0 if isinstance(usual, float) else None
