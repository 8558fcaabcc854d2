"""The checkpoints that lineages may go on from: what is no longer needed is deleted, and what the disk has no room for."""

from __future__ import annotations

import math
import shutil

from peftcost.searcher.state import SearchState
from peftcost.store.run_folder import RunFolder

DISK_SHARE = 0.25
"""Of the disk's free space, what all checkpoints of a run together may take."""


class Checkpoints:
    """Those of a run's measured trials, and what they take."""

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self._bytes: dict[int, int] = {}

    def tidy(self, state: SearchState) -> list[int]:
        """Delete what is no longer needed: a measured trial is not resumed, but its lineage may be, from the farthest
        stop, until the search has ended. Returns the trials whose lineages could have gone on, but for which there was no
        room, those of the worst quality first."""
        for trial in state.measured():
            if trial.number not in self._bytes:
                self._bytes[trial.number] = self.folder.bytes_of(trial.setup.id, trial.seed, "checkpoint")
        going_on = {t.number for t in state.explored.latest.values() if t.has_checkpoint}
        unfinished = [t for t in state.trials.values() if t.status in ("running", "interrupted")]
        needed = {t.parent for t in unfinished if t.parent is not None}
        for number in [n for n, size in self._bytes.items() if size and n not in going_on | needed]:
            self._forget(state, number)
        room = DISK_SHARE * (shutil.disk_usage(self.folder.path).free + sum(self._bytes.values()))
        without_room, quality = [], {trial.number: trial.measured.quality for trial in state.measured()}
        spare = [n for n, size in self._bytes.items() if size and n not in needed]
        for number in sorted(spare, key=lambda n: (not math.isnan(quality[n]), quality[n])):
            if sum(self._bytes.values()) > room:
                self._forget(state, number)
                without_room.append(number)
        return without_room

    def _forget(self, state: SearchState, number: int) -> None:
        trial = state.trials[number]
        self.folder.forget(trial.setup.id, trial.seed, "checkpoint")
        self._bytes[number] = 0
