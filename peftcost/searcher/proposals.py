"""Which choices an arm (a method, or a method on one of several bases) should try next: one Optuna sampler per arm, told what
its setups gave at one stop.

A mixed space over all methods is modelled poorly, so each arm has a study of its own, in memory: the run's study.db is
the record. All setups are told at the stop where they were first measured, so a short training does not look like a good
bargain; and by their dev loss, which ranks setups better than their quality on a sample does.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from peftcost.core.setup import Scalar, Setup
from peftcost.searcher.config import SearchConfig
from peftcost.searcher.explore import StartingPoints
from peftcost.searcher.state import SearchState
from peftcost.searcher.trial import Trial
from peftcost.store.study import Spaces, quiet_optuna


class Proposals:
    """Proposes setups; a function of the seed and of what is told.

    spaces, starts: of each arm; the prior-best setup's choices stand where the space has none. Starting points come
    before what Optuna draws.
    """

    def __init__(self, spaces: Spaces, starts: StartingPoints, seed: int) -> None:
        self.spaces, self.starts, self.seed = spaces, starts, seed
        self._drawn: dict[tuple[str, int], tuple[int, list[Setup]]] = {}

    def suggest(self, state: SearchState, arm: str, stop_examples: int) -> list[Setup]:
        """A few setups of the arm that nobody tried and that begin at this stop; none when it has nothing new. They are
        drawn ahead, and anew when something of the arm has changed. Its prior-best setup and
        the best of earlier runs come alone, before all others."""
        config, begun = state.config, list(state.explored.first.get(arm, {}).values())
        if not begun:
            return [setup.until(stop_examples) for setup in self.starts[arm][:2]]
        first = [t for t in begun if t.setup.stop_examples == stop_examples]
        tried = {t.setup.id for t in first}
        known = len(first) + sum(t.measurement is not None for t in first)
        drawn_at, drawn = self._drawn.get((arm, stop_examples), (0, []))
        untried = [setup for setup in drawn if setup.id not in tried]
        if not untried or known >= config.news_factor * drawn_at:
            starts = [setup.until(stop_examples) for setup in self.starts[arm]]
            fresh = {setup.id: setup for setup in starts if setup.id not in tried}
            prior, factors = starts[0].hyperparameters, config.neighbour_factors
            near = neighbours(prior, self.spaces[arm], factors) if len(first) < config.neighbour_trials else []
            for choices in (*near, *self._asked(first, arm, config)):
                setup = self.setup_of(arm, choices, stop_examples, tried | fresh.keys())
                if setup is not None and setup.id not in tried:
                    fresh[setup.id] = setup
            untried = list(fresh.values())
            self._drawn[arm, stop_examples] = known, untried
        return untried

    def setup_of(self, arm: str, choices: Mapping[str, Scalar], stop_examples: int, known: set[str]) -> Setup | None:
        """The setup with these choices. known: the ids of those that there are already."""
        prior = self.starts[arm][0]
        return Setup(prior.method, {**prior.hyperparameters, **choices}, stop_examples)

    @quiet_optuna()
    def _asked(self, first: Sequence[Trial], arm: str, config: SearchConfig) -> list[dict[str, Scalar]]:
        space = self.spaces[arm]
        sampler = optuna.samplers.TPESampler(
            seed=zlib.crc32(f"{self.seed} {arm} {len(first)}".encode()),
            multivariate=True,
            n_startup_trials=config.startup_trials,
            constant_liar=True,
        )
        study = optuna.create_study(directions=["minimize", "minimize"], sampler=sampler)
        ranked = sorted(first, key=lambda t: t.measurement.dev_loss if t.measurement is not None else -math.inf)
        told = ranked[: config.most_told]
        study.add_trials([trial_of(trial, space) for trial in told if is_inside(trial, space)])
        return [dict(study.ask(dict(space)).params) for _ in range(config.proposals_per_arm)]


def neighbours(
    prior: Mapping[str, Scalar], space: Mapping[str, BaseDistribution], factors: Sequence[float]
) -> list[dict[str, Scalar]]:
    """The prior-best choices with one of them changed: the rate times each factor, and every other option."""
    plain, found = {key: prior[key] for key in space}, []
    for key, distribution in space.items():
        if isinstance(distribution, CategoricalDistribution):
            found += [{**plain, key: option} for option in distribution.choices if option != plain[key]]
        elif isinstance(distribution, FloatDistribution):
            value = float(plain[key] or 0)
            found += [{**plain, key: min(max(value * by, distribution.low), distribution.high)} for by in factors]
    return found


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
