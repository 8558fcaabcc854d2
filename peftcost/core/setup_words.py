"""A setup's choices in few words, as in "lora r=8, lr 5e-4, 4,000 examples". Pure."""

from __future__ import annotations

from collections.abc import Mapping

from peftcost.core.setup import TRAINING_DEFAULTS, Scalar

SHORT = {
    "rank": "r={}",
    "targets": "on {}",
    "top_layers": "top {} layers",
    "virtual_tokens": "{} tokens",
    "bottleneck": "width {}",
    "learning_rate": "lr {}",
    "batch_size": "batch {}",
    "model": "on {}",
}
TOLD_WHERE_UNUSUAL = ("batch_size", "optimizer", "precision", "weight_decay", "label_smoothing", "dropout")
"""Training choices that stand there only where they are not the defaults."""
UNTOLD = ("alpha_over_rank", "adapter_dropout", "orthogonality", "packing", "weights", "gradient_checkpointing")


def setup_words(method: str, choices: Mapping[str, Scalar], stop_examples: int | None) -> str:
    """The method with its own choices, its rate, what of its training is unusual, and its length."""
    own = [key for key in choices if key not in TRAINING_DEFAULTS and key not in (*UNTOLD, "model")]
    unusual = [key for key in TOLD_WHERE_UNUSUAL if choices.get(key, TRAINING_DEFAULTS[key]) != TRAINING_DEFAULTS[key]]
    keys = [*own, "learning_rate", *unusual, "model"]
    told = [words for key in keys if (words := choice_words(key, choices.get(key)))]
    length = [f"{stop_examples:,} examples"] if stop_examples is not None else []
    first, *others = [*told, *length] or [""]
    return ", ".join([f"{method} {first}".rstrip(), *others])


def choice_words(key: str, value: Scalar) -> str:
    """One choice; "" where it is not taken."""
    if value is None or value is False:
        return ""
    if key == "top_layers":
        return "head only" if value == 0 else "top layer" if value == 1 else f"top {value} layers"
    name = key.replace("_", " ")
    if value is True:
        return name
    shown = short_number(value) if isinstance(value, float) else str(value)
    return SHORT.get(key, name + " {}").format(shown)


def short_number(value: float) -> str:
    """Two digits, as people write rates: 5e-4, 0.05, 1.2e-3."""
    if value == 0 or 0.01 <= abs(value) < 100:
        return f"{value:.2g}"
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa.removesuffix('.0')}e{int(exponent)}"
