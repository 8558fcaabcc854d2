"""What twice the training rows would bring, from the qualities on parts of them. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

EXPONENTS = (0.05, 0.6)
"""Of the power law by which quality nears its limit: what is seen of text, pictures and speech lies in there (Hestness et
al. 2017, "Deep learning scaling is predictable, empirically", has .07 to .35 for errors; small data sets are steeper)."""


def gain_of_doubling(rows: Sequence[int], values: np.ndarray, seed: int = 0) -> np.ndarray:
    """How much twice the most rows would add, in each resample, shape (B,).

    rows: the sizes, ascending, two at least. values: of each size the quality in each resample, shape (sizes, B); its mean
    over resamples is what was measured. quality = limit - b rows^-a is fitted by least squares, with a drawn evenly from
    EXPONENTS for each resample: two or three sizes do not tell it.
    """
    drawn = np.random.default_rng(seed).uniform(*EXPONENTS, size=values.shape[1])
    sizes = np.asarray(rows, dtype=np.float64) / rows[-1]
    nearness = -(sizes[:, None] ** -drawn)
    centred = nearness - nearness.mean(axis=0)
    slope = (centred * values).sum(axis=0) / (centred**2).sum(axis=0)
    gain: np.ndarray = slope * (1 - 2.0**-drawn)
    return gain
