"""What twice the labels would bring: the recommended setup, trained on parts of the training rows with what is left."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from peftcost.core.more_rows import gain_of_doubling
from peftcost.core.setup import Setup
from peftcost.core.statistics import Replicates, plain_value, resample_examples
from peftcost.engine.job import TrainJob
from peftcost.engine.messages import Done
from peftcost.runner.runner import BudgetSpent
from peftcost.searcher.controller import Controller, SearchRun
from peftcost.searcher.parts import part_seconds, parts_of, setup_on
from peftcost.searcher.spec import SearchSpec


def train_on_parts(controller: Controller, run: SearchRun, spec: SearchSpec, setup: Setup) -> dict[int, Path]:
    """The files of the dev rows by the number of training rows, as far as the budget goes."""
    found: dict[int, Path] = {}
    state, train_rows = controller.state, controller.state.cost.train_rows
    for rows in parts_of(state):
        out = run.folder.parts(setup.id, rows)
        job = TrainJob(
            run.prepared_for(setup),
            setup_on(setup, rows, train_rows),
            spec.seed,
            str(out),
            train_rows=rows,
            ranks=spec.devices_per_setup,
        )
        if not (out / "dev_rows.npy").exists():
            if controller.left_after(0.0) < part_seconds(state, setup, rows):
                break
            out.mkdir(parents=True, exist_ok=True)
            try:
                (message,) = controller.run_all("train", [job.as_dict()], tell_progress=False)
            except BudgetSpent:
                break
            for what in ("model", "checkpoint"):
                shutil.rmtree(out / what, ignore_errors=True)
            if not isinstance(message, Done):
                break
        found[rows] = out / "dev_rows.npy"
    return found


def more_rows(files: dict[int, Path], run: SearchRun, train_rows: int, evidence: Replicates, setup_id: str) -> dict[str, Any]:
    """The part `twice_the_rows` of result.json. evidence: what all dev rows say of the recommended setup. That is expected to
    be a little less than what was read, since the best of many readings is; a setup on a part of the rows was not chosen."""
    expected, rows = evidence.as_expected, [*files, train_rows]
    drawn = [np.load(file) for file in files.values()]
    n, replicates = max(len(array) for array in drawn), len(expected.values[setup_id])
    noise = math.hypot(evidence.seed_deviation, evidence.common_seed_deviation)
    random = np.random.default_rng(run.seed)
    parts = [
        values + noise * random.normal(size=replicates)
        for values in resample_examples(drawn, run.metric.compute, n, replicates, run.seed, run.evidence.copies)
    ]
    gain = gain_of_doubling(rows, np.stack([*parts, expected.values[setup_id]]), run.seed)
    qualities = [*(plain_value(array, run.metric.compute) for array in drawn), expected.observed[setup_id]]
    low, high = np.quantile(gain, [0.025, 0.975])
    return {
        "train_rows": rows,
        "qualities": qualities,
        "gain": float(gain.mean()),
        "gain_interval": (float(low), float(high)),
    }
