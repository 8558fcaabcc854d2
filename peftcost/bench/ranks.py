"""Whether contenders differ over several tasks: mean ranks, Friedman's test, and Nemenyi's critical difference.

Demsar, Statistical Comparisons of Classifiers over Multiple Data Sets, JMLR 7 (2006). Pure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

ALPHA = 0.05
FEWEST_TASKS, FEWEST_CONTENDERS = 2, 3


@dataclass(frozen=True)
class Ranks:
    """means: of each contender's rank over the tasks, 1 being the best; best first. p: that such ranks come by chance.
    critical_difference: of mean ranks, above which two contenders are told apart. groups: of contenders that are not, as
    long as they can be; of two at least."""

    means: dict[str, float]
    tasks: int
    p: float
    critical_difference: float
    groups: list[list[str]]


def ranks_of(qualities: Mapping[str, Sequence[float]]) -> Ranks | None:
    """qualities: of each contender, one a task, all of the same tasks. None where too few are there to be compared."""
    names = list(qualities)
    table = np.array([qualities[name] for name in names], dtype=float)
    if len(names) < FEWEST_CONTENDERS or table.shape[1] < FEWEST_TASKS:
        return None
    ranks = stats.rankdata(-table, axis=0)
    means = dict(sorted(zip(names, ranks.mean(axis=1).tolist(), strict=True), key=lambda item: item[1]))
    k, n = table.shape
    with np.errstate(invalid="ignore"):  # all tied in every task: nothing differs
        p = float(stats.friedmanchisquare(*table).pvalue)
    difference = critical_difference(k, n)
    return Ranks(means, n, 1.0 if math.isnan(p) else p, difference, groups_of(means, difference))


def critical_difference(contenders: int, tasks: int, alpha: float = ALPHA) -> float:
    """Nemenyi's."""
    q = float(stats.studentized_range.ppf(1 - alpha, contenders, math.inf)) / math.sqrt(2)
    return q * math.sqrt(contenders * (contenders + 1) / (6 * tasks))


def groups_of(means: Mapping[str, float], difference: float) -> list[list[str]]:
    """The longest runs of contenders, best first, whose ends are not told apart; none that lies within another."""
    names, found, reached = list(means), [], 0
    for start, first in enumerate(names):
        end = max(i for i, name in enumerate(names) if means[name] - means[first] <= difference) + 1
        if end > reached and end - start > 1:
            found.append(names[start:end])
        reached = max(reached, end)
    return found
