"""What the measurements say about the setups of a run: dev rows from disk, resampled once each."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from peftcost.core.statistics import Replicates, plain_value, resample_examples, with_seed_noise
from peftcost.searcher.state import SearchState
from peftcost.store.run_folder import RunFolder
from peftcost.tasks import Metric

REPLICATES = 2000

RowsOf = Callable[[str, int], np.ndarray]
"""(setup id, seed) -> the dev rows of that trial, shape (n, k)."""


class Evidence:
    """Bootstrap replicates of a growing search: each trial's rows are read and resampled when they are first needed."""

    def __init__(self, rows_of: RowsOf, metric: Metric, seed: int) -> None:
        self.rows_of, self.metric, self.seed = rows_of, metric, seed
        self._drawn: dict[tuple[str, int], tuple[float, np.ndarray]] = {}

    def replicates(self, state: SearchState) -> Replicates | None:
        """Of every measured setup's quality, or None before anything is measured."""
        ids = sorted({trial.setup.id for trial in state.measured()})
        if not ids:
            return None
        decisive = {setup_id: [t.seed for t in state.decisive(setup_id)] for setup_id in ids}
        self._draw([(setup_id, seed) for setup_id, seeds in decisive.items() for seed in seeds], state.cost.dev_rows)
        drawn = {setup_id: [self._drawn[setup_id, seed] for seed in seeds] for setup_id, seeds in decisive.items()}
        resampled = {setup_id: np.stack([values for _, values in found]) for setup_id, found in drawn.items()}
        per_seed = {setup_id: [value for value, _ in found] for setup_id, found in drawn.items()}
        return with_seed_noise(resampled, per_seed, self.seed, spread_groups(state), self.metric.limits)

    def _draw(self, wanted: list[tuple[str, int]], n: int) -> None:
        missing = [key for key in wanted if key not in self._drawn]
        arrays = [self.rows_of(*key) for key in missing]
        drawn = resample_examples(arrays, self.metric.compute, n, REPLICATES, self.seed) if arrays else []
        for key, rows, values in zip(missing, arrays, drawn, strict=True):
            self._drawn[key] = (plain_value(rows, self.metric.compute), values)


def spread_groups(state: SearchState) -> list[list[float]]:
    """Qualities by setup and size of the dev sample, to see how far seeds differ: between a sample and all of dev they
    differ for other reasons, too."""
    groups: dict[tuple[str, int | None], list[float]] = {}
    for trial in state.measured():
        if trial.measurement is not None:
            groups.setdefault((trial.setup.id, trial.measurement.dev_rows), []).append(trial.measurement.quality)
    return list(groups.values())


def evidence_in(folder: RunFolder, metric: Metric, seed: int) -> Evidence:
    """Evidence from a run's folder."""
    return Evidence(partial(_rows_on_disk, folder), metric, seed)


def _rows_on_disk(folder: RunFolder, setup_id: str, seed: int) -> np.ndarray:
    return np.asarray(np.load(folder.trial(setup_id, seed) / "dev_rows.npy"))
