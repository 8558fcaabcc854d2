"""Weights & Biases: one run a training, grouped by search. Where it goes is its own setting (WANDB_MODE, WANDB_PROJECT)."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from peftcost.trackers.base import Fact, TrackedSearch, Tracker

PROJECT = "peftcost"
"""Where none is set."""


class WandB(Tracker):
    """Sends no code, no command line, no console output and nothing of the machine."""

    name = "wandb"
    package = "wandb"
    install = "wandb"

    def open(self, search: TrackedSearch) -> None:
        self._tracked = search
        self._runs: dict[int, Any] = {}

    def start(self, trial: int, title: str, facts: Mapping[str, Fact]) -> None:
        self._runs[trial] = self._init(title, "training", facts)

    def log(self, trial: int, step: int, values: Mapping[str, float]) -> None:
        self._runs[trial].log({**values, "step": step})

    def end(self, trial: int, succeeded: bool, figures: Mapping[str, float]) -> None:
        run = self._runs.pop(trial)
        run.summary.update({f"measured/{name}": figure for name, figure in figures.items()})
        run.finish(exit_code=0 if succeeded else 1)

    def finish(self, files: Sequence[Path]) -> None:
        import wandb

        run = self._init("report", "report", {})
        artifact = wandb.Artifact(f"{self._tracked.name}-report", type="report")
        for file in files:
            artifact.add_file(str(file))
        run.log_artifact(artifact)
        run.finish()

    def close(self) -> None:
        for run in self._runs.values():
            run.finish(exit_code=130)
        self._runs.clear()

    def _init(self, title: str, kind: str, facts: Mapping[str, Fact]) -> Any:
        import wandb

        quiet: dict[str, Any] = {
            "console": "off",
            "silent": True,
            "disable_code": True,
            "disable_git": True,
            "save_code": False,
        }
        return wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            group=self._tracked.name,
            name=title,
            job_type=kind,
            config=dict(facts),
            dir=str(self._tracked.folder),
            reinit="create_new",
            settings=wandb.Settings(**quiet, x_disable_meta=True, x_disable_stats=True, x_disable_machine_info=True),
        )
