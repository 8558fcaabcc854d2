"""How far seeds of one setup differ, by how far it lies below the best, and how much of that they do to all setups alike."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from peftcost.core.seed_noise import pooled_deviation, seed_noise
from peftcost.core.statistics import plain_value
from peftcost.simulator.table import RecordedTable

BELOW = (0.0, 0.02, 0.04, 0.08, 0.16, 1.0)
"""Edges of the groups: true quality below that of the table's best."""


def seeds(table: RecordedTable) -> dict[str, Any]:
    """The standard deviation between seeds, pooled over the setups of each group that have several; own and common: of what
    it consists. The rows of examples are the same for all, so what these explain is in both."""
    ids = sorted({row.setup.id for row in table.records.values()})
    qualities = {s: {n: plain_value(table.records[s, n].examples, table.metric.compute) for n in table.seeds(s)} for s in ids}
    means = {s: float(np.mean(list(found.values()))) for s, found in qualities.items()}
    best = max(means.values())
    below = {s: best - mean for s, mean in means.items()}
    found = {}
    for least, most in pairwise(BELOW):
        several = [qualities[s] for s in ids if least <= below[s] < most and len(qualities[s]) > 1]
        deviation, freedom = pooled_deviation([list(of_setup.values()) for of_setup in several])
        noise = seed_noise(several)
        found[f"{least} to {most}"] = {
            "setups": len(several),
            "deviation": deviation,
            "degrees_of_freedom": freedom,
            "own": noise.own**0.5,
            "common": noise.common**0.5,
        }
    return found
