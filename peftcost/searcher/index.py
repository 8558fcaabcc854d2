"""What decisions ask of the trials of exploring, kept as they come in, so that none has to look through all of them."""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Iterator
from heapq import merge
from itertools import islice

from peftcost.core.front import Point, dominates
from peftcost.searcher.trial import Trial


class Explored:
    """The trials of exploring.

    arms: those of which anything was begun. tried: by arm and stop, the ids of the setups that were begun. latest: by
    lineage, the one with the farthest stop. front: the measured ones that no other beats on quality, cost and memory at once.
    """

    def __init__(self) -> None:
        self.arms: set[str] = set()
        self.tried: dict[tuple[str, int], set[str]] = {}
        self.latest: dict[str, Trial] = {}
        self.front: list[Trial] = []
        self._ranked: dict[int, list[tuple[float, int, Trial]]] = {}
        """By stop: (quality with its sign turned, number, trial), so the best come first."""

    def start(self, trial: Trial) -> None:
        """A trial has begun."""
        setup, lineage = trial.setup, trial.setup.lineage
        self.arms.add(setup.arm)
        self.tried.setdefault((setup.arm, setup.stop_examples), set()).add(setup.id)
        known = self.latest.get(lineage)
        if known is None or setup.stop_examples > known.setup.stop_examples:
            self.latest[lineage] = trial

    def measure(self, trial: Trial) -> None:
        """A trial's measurement has come in. One without a quality (of a constant prediction, say) is passed over."""
        point = point_of(trial)
        if math.isnan(point[0]):
            return
        insort(self._ranked.setdefault(trial.setup.stop_examples, []), (-point[0], trial.number, trial))
        if not any(dominates(point_of(other), point) for other in self.front):
            self.front = [other for other in self.front if not dominates(point, point_of(other))] + [trial]

    def best(self, most: int | None = None) -> list[Trial]:
        """The measured ones, by quality."""
        return [trial for _, _, trial in islice(merge(*self._ranked.values()), most)]

    def at(self, stop_examples: int) -> Iterator[Trial]:
        """The measured ones at this stop, by quality."""
        return (trial for _, _, trial in self._ranked.get(stop_examples, []))

    def is_waiting(self, trial: Trial) -> bool:
        """Whether the trial's lineage has not gone on from it, and it has a quality."""
        m = trial.measurement
        return self.latest[trial.setup.lineage] is trial and m is not None and not math.isnan(m.quality)


def point_of(trial: Trial) -> Point:
    """As it was measured."""
    m = trial.measured
    return m.quality, m.gpu_seconds, float(m.peak_bytes)
