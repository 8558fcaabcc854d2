"""What is compared: a method with all of its choices, and how long it trains."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

Scalar = str | int | float | bool | None
LARGEST_SEED = 2**63 - 1
"""Random generators take none beyond."""

TRAINING_DEFAULTS: dict[str, Scalar] = {
    "learning_rate": 1e-4,
    "batch_size": 16,  # examples per optimizer step
    "micro_batch_size": 16,  # examples per forward pass; below batch_size, gradients are accumulated
    "optimizer": "adamw",  # adamw | sgd, both with decoupled weight decay
    "weight_decay": 0.01,
    "warmup_steps": 10,
    "cooldown_share": 0.2,  # of stop_examples, at the end, with the rate falling linearly to zero
    "max_grad_norm": 1.0,
    "label_smoothing": 0.0,
    "dropout": None,  # None keeps the model's own
    "gradient_checkpointing": False,  # compute activations again in the backward pass: less memory, a third more time
    "precision": "fp32",  # fp32 | bf16 | fp16 (mixed)
}
"""Choices that every method has. A setup's hyperparameters always name all of them."""

PACKING = "packing"
"""True where a batch's texts are laid end to end in one row (`engine/packing.py`); a choice only of setups that do so."""

CLASS_WEIGHTS, WORD_DROPOUT = "class_weights", "word_dropout"
"""For few or unbalanced labels (`engine/few_labels.py`); choices only of setups that have them. "balanced": each class counts
as much as any other. word_dropout: the share of tokens of a training text that are hidden."""

WEIGHTS = "weights"
"""bf16 where what a setup does not train is held in bf16; a choice only of setups that do so, others hold it in fp32. What it
trains is held in fp32, but for a base that is trained whole."""

ATTENTION = "attention"
"""How a base computes attention, as transformers calls it; a choice only of setups for which it was measured, on a GPU, to be
faster than what transformers chooses (`engine/attention.py`)."""

NO_MATTER_TO_MEMORY = ("learning_rate", "weight_decay", "warmup_steps", "cooldown_share", "alpha_over_rank", "orthogonality")
ON = " on "


@dataclass(frozen=True)
class Setup:
    """A method with all of its choices and its length.

    `hyperparameters` holds the method's own choices beside every key of `TRAINING_DEFAULTS`.
    `stop_examples` counts the training examples seen, cool-down included.
    """

    method: str
    hyperparameters: Mapping[str, Scalar]
    stop_examples: int

    @classmethod
    def of(cls, method: str, choices: Mapping[str, Scalar], stop_examples: int) -> Setup:
        """A setup from the choices that differ from the training defaults."""
        return cls(method, {**TRAINING_DEFAULTS, **choices}, stop_examples)

    @cached_property
    def id(self) -> str:
        """A hash of all that the setup is, led by the method's name for the reader."""
        return f"{self.method}-{_digest([self.method, dict(self.hyperparameters), self.stop_examples])}"

    @cached_property
    def lineage(self) -> str:
        """A hash of all but the length: setups that differ only there are stops of one training run (per seed)."""
        return f"{self.method}-{_digest([self.method, dict(self.hyperparameters)])}"

    @cached_property
    def memory_key(self) -> str:
        """Setups with one key need the same memory: all but rates, lengths and strengths decides."""
        choices = {k: v for k, v in self.hyperparameters.items() if k not in NO_MATTER_TO_MEMORY}
        return json.dumps([self.method, choices], sort_keys=True)

    @cached_property
    def arm(self) -> str:
        """What is probed, priced and searched by itself: the method, and its base where a task names several. The base is
        then one of the choices, `model`."""
        model = self.hyperparameters.get("model")
        return arm_of(self.method, None if model is None else str(model))

    def until(self, stop_examples: int) -> Setup:
        """The same lineage with this length; each is made once, so that what was worked out of it is kept."""
        if stop_examples not in self._stops:
            other = replace(self, stop_examples=stop_examples)
            vars(other)["_stops"] = self._stops
            self._stops[stop_examples] = other
        return self._stops[stop_examples]

    @cached_property
    def _stops(self) -> dict[int, Setup]:
        return {self.stop_examples: self}

    def __hash__(self) -> int:
        return hash(self.id)

    def as_dict(self) -> dict[str, Any]:
        return {
            "method": self.method,
            "hyperparameters": dict(self.hyperparameters),
            "stop_examples": self.stop_examples,
        }

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Setup:
        return cls(raw["method"], dict(raw["hyperparameters"]), int(raw["stop_examples"]))


def arm_of(method: str, model: str | None) -> str:
    """The arm's name. model: the base, None where the task names one alone."""
    return method if model is None else f"{method}{ON}{model}"


def method_of(arm: str) -> str:
    """The method's name in an arm's."""
    return arm.partition(ON)[0]


def model_of(arm: str) -> str | None:
    """The base's name in an arm's, None where the task names one alone."""
    return arm.partition(ON)[2] or None


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:10]
