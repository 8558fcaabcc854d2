"""Which choices a method should try next: one Optuna sampler per method, told what its setups gave at one stop.

A mixed space over all methods is modelled poorly, so each method has a study of its own, in memory: the run's study.db is
the record. All setups are told at the stop where they were first measured, so a short training does not look like a good
bargain; and by their dev loss, which ranks setups better than their quality on a sample does.
"""

from __future__ import annotations

import logging
import warnings
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from peftcost.core.setup import Scalar, Setup
from peftcost.searcher.state import SearchState, Trial
from peftcost.store.study import Spaces

STARTUP_TRIALS = 4
"""Of each method, drawn at random before its sampler models anything; the prior-best setup is one."""
IDEAS = 6
"""Proposals of a method that are compared."""


class Proposals:
    """Proposes setups; a function of the seed and of what is told.

    prior: each method's prior-best setup, whose choices stand where the space has none. good: setups that are proposed
    before Optuna is asked, the best first.
    """

    def __init__(self, spaces: Spaces, prior: Mapping[str, Setup], seed: int, good: Sequence[Setup] = ()) -> None:
        optuna.logging.set_verbosity(logging.WARNING)
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # multivariate: long in use
        self.spaces, self.prior, self.seed, self.good = spaces, prior, seed, good
        self._ideas: dict[tuple[str, int], tuple[tuple[int, int], list[Setup]]] = {}

    def ideas(self, state: SearchState, method: str, stop_examples: int) -> list[Setup]:
        """A few setups of the method that nobody tried and that begin at this stop; none when it has nothing new. They are
        drawn ahead, and anew when something of the method has changed. The prior-best one comes alone, before all others."""
        begun = first_trials(state, method)
        if not begun:
            return [replace(self.prior[method], stop_examples=stop_examples)]
        first = [t for t in begun if t.setup.stop_examples == stop_examples]
        news = len(first), sum(t.measurement is not None for t in first)
        if (method, stop_examples) not in self._ideas or self._ideas[method, stop_examples][0] != news:
            tried = {t.setup.id for t in first}
            ideas: dict[str, Setup] = {}
            good = [{key: s.hyperparameters[key] for key in self.spaces[method]} for s in self.good if s.method == method]
            for choices in (*good[:IDEAS], *self._asked(first, method)):
                setup = self.setup_of(method, choices, stop_examples, tried | ideas.keys())
                if setup is not None and setup.id not in tried:
                    ideas[setup.id] = setup
            self._ideas[method, stop_examples] = news, list(ideas.values())
        return self._ideas[method, stop_examples][1]

    def setup_of(self, method: str, choices: Mapping[str, Scalar], stop_examples: int, known: set[str]) -> Setup | None:
        """The setup with these choices. known: the ids of those that there are already."""
        return Setup(method, {**self.prior[method].hyperparameters, **choices}, stop_examples)

    def _asked(self, first: Sequence[Trial], method: str) -> list[dict[str, Scalar]]:
        space = self.spaces[method]
        sampler = optuna.samplers.TPESampler(
            seed=zlib.crc32(f"{self.seed} {method} {len(first)}".encode()),
            multivariate=True,
            n_startup_trials=STARTUP_TRIALS,
            constant_liar=True,
        )
        study = optuna.create_study(directions=["minimize", "minimize"], sampler=sampler)
        study.add_trials([trial_of(trial, space) for trial in first if is_inside(trial, space)])
        return [dict(study.ask(dict(space)).params) for _ in range(IDEAS)]


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
