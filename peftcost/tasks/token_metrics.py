"""Metrics of language models, on sums over each example's counted tokens. See `peftcost.tasks.metrics`."""

from __future__ import annotations

import numpy as np

from peftcost.tasks.metrics import share


def negative_loss(rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The mean loss a token, negative, in nats; perplexity is exp of the loss. rows: (summed loss, tokens, right tokens)."""
    loss, tokens, _ = (weights @ rows[:, :3].astype(np.float64)).T
    return -share(loss, tokens)


def token_accuracy(rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Share of tokens that the model holds most likely, given the true ones before. rows: as for `negative_loss`."""
    _, tokens, right = (weights @ rows[:, :3].astype(np.float64)).T
    return share(right, tokens)
