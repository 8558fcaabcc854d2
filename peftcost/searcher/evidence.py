"""What the measurements say about the setups of a run: dev rows from disk, resampled."""

from __future__ import annotations

import numpy as np

from peftcost.core.statistics import Replicates, resample_qualities
from peftcost.searcher.state import SearchState
from peftcost.store.run_folder import RunFolder
from peftcost.tasks import Metric

REPLICATES = 2000


def dev_rows(state: SearchState, folder: RunFolder, setup_id: str) -> list[np.ndarray]:
    """One array of shape (n, k) for each seed that speaks for the setup."""
    return [np.load(folder.trial(setup_id, t.seed) / "dev_rows.npy") for t in state.decisive(setup_id)]


def replicates(state: SearchState, folder: RunFolder, metric: Metric, seed: int) -> Replicates | None:
    """Bootstrap replicates of every measured setup's quality, or None before anything is measured."""
    ids = sorted({trial.setup.id for trial in state.measured()})
    if not ids:
        return None
    rows = {setup_id: dev_rows(state, folder, setup_id) for setup_id in ids}
    qualities: dict[str, list[float]] = {}
    for trial in state.measured():
        if trial.measurement is not None:
            qualities.setdefault(trial.setup.id, []).append(trial.measurement.quality)
    return resample_qualities(rows, metric.compute, REPLICATES, seed, list(qualities.values()), metric.limits)
