"""Where inputs are cut when the task does not say. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

FITTING_SHARE = 0.99
"""Of the training examples, those that are not cut: one long example makes every batch that it stands in as long."""
SAMPLE = 2000
"""Examples whose lengths are looked at, evenly spaced."""
NO_LIMIT = 1_000_000
"""Tokens: more than anybody has."""


def usual_length(lengths: np.ndarray) -> int:
    """The tokens that `FITTING_SHARE` of the examples fit into. lengths: shape (n,)."""
    return int(np.quantile(lengths, FITTING_SHARE, method="higher"))


def sample_of(n: int) -> np.ndarray:
    """Positions of the `SAMPLE` of n examples."""
    return np.unique(np.linspace(0, n - 1, SAMPLE).astype(int)) if n else np.empty(0, int)


def table_positions(config: Mapping[str, Any]) -> int:
    """Rows of a base's position table, of its config.json; NO_LIMIT where it has none (T5, XLNet)."""
    found = config.get("max_position_embeddings", config.get("n_positions"))  # GPT-2's name for it
    return found if isinstance(found, int) and found > 0 else NO_LIMIT
