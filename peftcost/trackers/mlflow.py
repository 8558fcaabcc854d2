"""MLflow: one run a search, with a nested run a training. Where it goes is MLflow's own setting (MLFLOW_TRACKING_URI)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from peftcost.trackers.base import Fact, TrackedSearch, Tracker

EXPERIMENT = "peftcost"
"""Where none is set (MLFLOW_EXPERIMENT_NAME)."""


class MLflow(Tracker):
    """Uses MLflow's client, so the caller's own active run is not touched."""

    name = "mlflow"
    package = "mlflow"
    install = "mlflow-skinny"

    def open(self, search: TrackedSearch) -> None:
        import os

        from mlflow import MlflowClient

        self._client: Any = MlflowClient()
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)
        known = self._client.get_experiment_by_name(name)
        self._experiment = self._client.create_experiment(name) if known is None else known.experiment_id
        self._search = self._client.create_run(self._experiment, run_name=search.name).info.run_id
        self._runs: dict[int, str] = {}
        self._finished = False

    def start(self, trial: int, title: str, facts: Mapping[str, Fact]) -> None:
        tags = {"mlflow.parentRunId": self._search}
        run = self._client.create_run(self._experiment, run_name=title, tags=tags).info.run_id
        self._runs[trial] = run
        for name, value in facts.items():
            self._client.log_param(run, name, value)

    def log(self, trial: int, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._client.log_metric(self._runs[trial], name, value, step=step)

    def end(self, trial: int, succeeded: bool, figures: Mapping[str, float]) -> None:
        run = self._runs.pop(trial)
        for name, value in figures.items():
            self._client.log_metric(run, f"measured_{name}", value)
        self._client.set_terminated(run, "FINISHED" if succeeded else "FAILED")

    def finish(self, files: Sequence[Path]) -> None:
        for file in files:
            self._client.log_artifact(self._search, str(file))
        self._finished = True

    def close(self) -> None:
        for run in self._runs.values():
            self._client.set_terminated(run, "KILLED")
        self._runs.clear()
        self._client.set_terminated(self._search, "FINISHED" if self._finished else "KILLED")
