"""The Optuna study of a run: the record of every trial, for optuna's own tools.

One study with three named objectives. Parameters are `method` and, per method, `METHOD.CHOICE`, so that the
conditional space has no clashing ranges. The journal is the truth; `sync_with_journal` brings the study in line with it.
"""

from __future__ import annotations

import logging
import sqlite3
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import TrialState

from peftcost.core.measurement import Measurement
from peftcost.core.setup import Scalar, Setup
from peftcost.core.setup_words import setup_words
from peftcost.errors import EnvironmentFailure

OBJECTIVES: dict[str, Literal["maximize", "minimize"]] = {
    "quality": "maximize",
    "gpu_seconds": "minimize",
    "peak_bytes": "minimize",
}

Spaces = Mapping[str, Mapping[str, BaseDistribution]]
"""The search space of each method: choice -> distribution."""


@contextmanager
def quiet_optuna() -> Iterator[None]:
    """No news of each study, and no warning that what is long in use (multivariate sampling, names of metrics) is
    experimental. On leaving, verbosity and filters are the caller's again. A decorator, too."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(before)


def sqlite_url(path: Path) -> str:
    """Where Optuna keeps a study; a question mark or a per cent sign in the path stands for itself."""
    return f"sqlite:///{quote(str(path.absolute()))}"


@contextmanager
def storage_told() -> Iterator[None]:
    """EnvironmentFailure for what SQLite cannot do, such as to write on a full disk: the journal has it all, and the study is
    brought in line with it when the run goes on. A decorator, too."""
    try:
        yield
    except Exception as error:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, sqlite3.OperationalError):
            cause = cause.__cause__ or cause.__context__
        if cause is None:
            raise
        raise EnvironmentFailure(
            f"The run's study.db cannot be written ({cause}); free the disk, then run `peftcost resume`."
        ) from error


class Study:
    """Writes one Optuna study; without a path it is kept in memory. Made and written by the controller alone."""

    @quiet_optuna()
    def __init__(self, path: Path | None, name: str, spaces: Spaces) -> None:
        """name: of a new study; one that is there keeps its own, whatever its folder is called now."""
        self.spaces = spaces
        storage = None if path is None else sqlite_url(path)
        with storage_told():
            if storage is not None and path is not None and path.exists():
                name = next(iter(optuna.get_all_study_names(storage)), name)
            study = optuna.create_study(
                study_name=name, storage=storage, directions=list(OBJECTIVES.values()), load_if_exists=path is not None
            )
            if not study.metric_names:
                study.set_metric_names(list(OBJECTIVES))
        self._study = study
        self._asked: dict[int, optuna.Trial] = {}

    @storage_told()
    def add(self, method: str, choices: Mapping[str, Scalar]) -> int:
        """The number of a new, running trial of this method with these choices."""
        mine = self.spaces[method]
        params: dict[str, Any] = {"method": method, **{f"{method}.{key}": choices[key] for key in mine}}
        self._study.enqueue_trial(params)
        distributions: dict[str, BaseDistribution] = {"method": CategoricalDistribution(tuple(self.spaces))}
        distributions |= {f"{method}.{key}": value for key, value in mine.items()}
        trial = self._study.ask(fixed_distributions=distributions)
        self._asked[trial.number] = trial
        return trial.number

    @storage_told()
    def describe(self, number: int, setup: Setup, seed: int, role: str, parent: int | None) -> None:
        """Attach what the trial is, for readers of the study."""
        facts: dict[str, Any] = {
            "words": setup_words(setup.method, setup.hyperparameters, setup.stop_examples),
            "setup": setup.id,
            "lineage": setup.lineage,
            "stop_examples": setup.stop_examples,
            "seed": seed,
            "role": role,
            "parent": parent,
        }
        for key, value in facts.items():
            self._asked[number].set_user_attr(key, value)

    @storage_told()
    def tell(self, number: int, measurement: Measurement | None) -> None:
        """Tell a trial's outcome once; None for one that failed."""
        if measurement is None:
            self._study.tell(number, state=TrialState.FAIL, skip_if_finished=True)
        else:
            values = [measurement.quality, measurement.gpu_seconds, float(measurement.peak_bytes)]
            self._study.tell(number, values, skip_if_finished=True)

    @storage_told()
    def sync_with_journal(self, outcomes: Mapping[int, Measurement | None], alive: set[int]) -> None:
        """Tell what the journal knows and the study does not yet; trials that are neither there nor alive failed."""
        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING, TrialState.WAITING)):
            if trial.state is TrialState.WAITING:  # enqueued, then killed before it was asked for
                self._study.ask()
            if trial.number not in alive:
                self.tell(trial.number, outcomes.get(trial.number))
