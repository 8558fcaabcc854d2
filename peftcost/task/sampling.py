"""Draws stratified samples: which examples a split takes, a function of the seed alone."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence

import numpy as np

HELD_OUT_SHARE = 0.2
LARGEST_HELD_OUT = 4000
FEWEST_LEFT = 2
"""Examples of each label that a held-out split leaves in train, at least; so very rare labels stay there whole."""
DISAGREEMENT = 0.25 * 2 * (1 - 0.7)
"""Variance, per example, of the difference between two setups: two Bernoullis of variance 1/4, correlated by 0.7."""


def split_sizes(
    rows: int,
    margin: float,
    needs_dev: bool,
    needs_test: bool,
    dev_share: float | None = None,
    test_share: float | None = None,
) -> tuple[int, int]:
    """How many examples dev and test take from `rows` (0 for one that is not needed): the shares (below 1) or numbers that
    are given, else:

    Test takes 20 %, at most 4,000. Dev does too, and more if the margin asks for it: two setups' quality on the same n
    examples differs by chance by sd = sqrt(DISAGREEMENT / n), and two of these should not exceed the margin, so
    n = 4 * DISAGREEMENT / margin² (6,000 for 0.01, capped at 4,000; 240 for 0.05). Half of the rows stay in train.
    Without a test split nothing is compared and dev is a gate: as few as resolve the margin, at most 20 %.
    """
    fifth = round(HELD_OUT_SHARE * rows)
    test = min(fifth, LARGEST_HELD_OUT) if test_share is None else size_of(test_share, rows)
    test = test if needs_test else 0
    resolving = int(np.ceil(4 * DISAGREEMENT / margin**2))
    wanted = min(fifth, resolving) if test_share == 0 else max(fifth, resolving)
    dev = max(0, min(wanted, LARGEST_HELD_OUT, rows // 2 - test))
    dev = dev if dev_share is None else size_of(dev_share, rows)
    return dev if needs_dev else 0, test


def size_of(share: float, rows: int) -> int:
    """Of a share of the rows, or of a number of them from 1 on."""
    return round(share * rows) if share < 1 else int(share)


def together(*keys: Sequence[Hashable]) -> list[int]:
    """For each example the number of its group: examples with an equal key of any kind are in one, directly or by others."""
    root = list(range(len(keys[0])))

    def find(i: int) -> int:
        while root[i] != i:
            root[i] = i = root[root[i]]
        return i

    for values in keys:
        first: dict[Hashable, int] = {}
        for i, value in enumerate(values):
            root[find(i)] = find(first.setdefault(value, i))
    return [find(i) for i in range(len(root))]


def latest(times: Sequence[float], n: int) -> list[int]:
    """About n indices, in order: those of the latest times. Equal times stay on one side; the cut is the nearest one to n."""
    ordered = sorted(range(len(times)), key=lambda i: times[i])
    cuts = [at for at in range(1, len(ordered)) if times[ordered[at]] > times[ordered[at - 1]]]
    cut = min(cuts, key=lambda at: abs(len(ordered) - at - n), default=len(ordered))
    return sorted(ordered[cut:])


def hold_out(
    strata: Sequence[str],
    contents: Sequence[Hashable],
    labels: Sequence[Sequence[str]],
    n: int,
    seed: Sequence[int],
) -> list[int]:
    """About n indices, in order, that keep the strata's proportions; what is not among them is train.

    Examples of equal content go together. At least FEWEST_LEFT examples of each label stay behind. Fewer than n come
    out when that, or large groups of copies, leave no more to take.
    """
    members: dict[Hashable, list[int]] = defaultdict(list)
    for i, content in enumerate(contents):
        members[content].append(i)
    queues: dict[str, list[list[int]]] = defaultdict(list)
    for group in members.values():
        # copies may contradict each other: the group goes by what most of them say
        queues[Counter(strata[i] for i in group).most_common(1)[0][0]].append(group)
    left = Counter(name for names in labels for name in set(names))
    quota = quotas(Counter(strata), n)
    random = np.random.default_rng(list(seed))
    taken: list[int] = []
    for stratum in sorted(queues):
        groups, room = queues[stratum], quota[stratum]
        for at in random.permutation(len(groups)):
            if room == 0:
                break
            group = groups[at]
            leaving = Counter(name for i in group for name in set(labels[i]))
            if len(group) <= room and all(left[name] - k >= FEWEST_LEFT for name, k in leaving.items()):
                taken += group
                room -= len(group)
                left.subtract(leaving)
    return sorted(taken)


def sample(strata: Sequence[str], n: int | None, seed: Sequence[int]) -> list[int]:
    """n indices, in order, that keep the strata's proportions, with one of each stratum if n allows; all for None."""
    if n is None or n >= len(strata):
        return list(range(len(strata)))
    members: dict[str, list[int]] = defaultdict(list)
    for i, stratum in enumerate(strata):
        members[stratum].append(i)
    quota = quotas({stratum: len(indices) for stratum, indices in members.items()}, n, at_least_one=True)
    random = np.random.default_rng(list(seed))
    taken: list[int] = []
    for stratum in sorted(members):
        indices = members[stratum]
        taken += [indices[at] for at in random.permutation(len(indices))[: quota[stratum]]]
    return sorted(taken)


def quotas(counts: Mapping[str, int], n: int, at_least_one: bool = False) -> dict[str, int]:
    """n seats over strata in proportion to their counts, by largest remainders; ties go by name."""
    total = sum(counts.values())
    n = min(n, total)
    exact = {stratum: n * count / total for stratum, count in sorted(counts.items())}
    seats = {stratum: int(share) for stratum, share in exact.items()}
    if at_least_one and n >= len(seats):
        seats = {stratum: max(1, seat) for stratum, seat in seats.items()}
    by_remainder = sorted(seats, key=lambda stratum: (seats[stratum] - exact[stratum], stratum))
    missing = n - sum(seats.values())
    for stratum in by_remainder[: max(0, missing)]:
        seats[stratum] += 1
    while sum(seats.values()) > n:  # the seats of the smallest came out of nowhere; the largest give them
        seats[max(seats, key=lambda stratum: (seats[stratum], stratum))] -= 1
    return seats
