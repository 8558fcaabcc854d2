"""A method's choices as a vector, so that distances between setups can be measured."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from peftcost.core.setup import Scalar

Space = Mapping[str, BaseDistribution]
RATE_WEIGHT = 3.0
"""The learning rate decides more than any other choice ("LoRA Without Regret", 2025)."""


def encode(choices: Mapping[str, Scalar], space: Space) -> np.ndarray:
    """The choices as a vector, shape (k,): numbers by their share of the range (of logarithms where it is searched so), the
    learning rate drawn out by RATE_WEIGHT, others as 0 or 1/sqrt 2 for each option, so that two options are 1 apart."""
    parts: list[float] = []
    for name, distribution in space.items():
        value = choices[name]
        if isinstance(distribution, CategoricalDistribution):
            parts += [float(value == option) / 2**0.5 for option in distribution.choices]
        elif isinstance(distribution, (FloatDistribution, IntDistribution)):
            ends = np.array([float(value or 0), distribution.low, distribution.high])
            at, low, high = np.log(np.maximum(ends, 1e-12)) if distribution.log else ends
            share = float((at - low) / (high - low)) if high > low else 0.0
            parts.append(share * (RATE_WEIGHT if name == "learning_rate" else 1.0))
    return np.array(parts)
