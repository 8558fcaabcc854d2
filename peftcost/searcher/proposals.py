"""Which choices a method should try next: one Optuna sampler per method, told what its setups gave at one stop.

A mixed space over all methods is modelled poorly, so each method has a study of its own, in memory: the run's study.db is
the record. All setups are told at the stop where they were first measured, so a short training does not look like a good
bargain; and by their dev loss, which ranks setups better than their quality on a sample does.
"""

from __future__ import annotations

import logging
import warnings
import zlib
from collections.abc import Mapping

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from peftcost.core.setup import Scalar
from peftcost.searcher.state import SearchState, Trial
from peftcost.store.study import Spaces

STARTUP_TRIALS = 4
"""Of each method, drawn at random before its sampler models anything; the prior-best setup is one."""


class Proposals:
    """Proposes choices; a function of the seed, of what is told and of how much was proposed."""

    def __init__(self, spaces: Spaces, seed: int) -> None:
        optuna.logging.set_verbosity(logging.WARNING)
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # multivariate: long in use
        self.spaces, self.seed = spaces, seed

    def propose(self, state: SearchState, method: str, stop_examples: int) -> dict[str, Scalar]:
        """Choices for the method's next setup, which begins at this stop."""
        space = self.spaces[method]
        known = [t for t in first_trials(state, method) if t.setup.stop_examples == stop_examples and is_inside(t, space)]
        told = [trial_of(trial, space) for trial in known]
        tried = sum(t.setup.method == method and t.role == "explore" for t in state.trials.values())
        number = tried + state.repeated[method]
        sampler = optuna.samplers.TPESampler(
            seed=zlib.crc32(f"{self.seed} {method} {number}".encode()),
            multivariate=True,
            n_startup_trials=STARTUP_TRIALS,
            constant_liar=True,
        )
        study = optuna.create_study(directions=["minimize", "minimize"], sampler=sampler)
        study.add_trials(told)
        return dict(study.ask(dict(space)).params)


def first_trials(state: SearchState, method: str) -> list[Trial]:
    """Of each lineage of the method the trial that came first."""
    found: dict[str, Trial] = {}
    for trial in state.trials.values():
        if trial.setup.method == method and trial.role == "explore":
            found.setdefault(trial.setup.lineage, trial)
    return list(found.values())


def is_inside(trial: Trial, space: Mapping[str, BaseDistribution]) -> bool:
    """Whether the trial's choices lie in the space: a prior or a recipe need not."""
    return all(d._contains(d.to_internal_repr(trial.setup.hyperparameters[name])) for name, d in space.items())


def trial_of(trial: Trial, space: Mapping[str, BaseDistribution]) -> FrozenTrial:
    """What Optuna is told of a trial."""
    m = trial.measurement
    return create_trial(
        params={name: trial.setup.hyperparameters[name] for name in space},
        distributions=dict(space),
        values=None if m is None else [m.dev_loss, m.gpu_seconds],
        state=TrialState.COMPLETE if m is not None else TrialState.FAIL if trial.status == "failed" else TrialState.RUNNING,
    )
