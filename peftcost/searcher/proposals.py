"""Which choices an arm (a method, or a method on one of several bases) could try next: its starting points, their neighbours,
and quasi-random points of its space (Optuna's QMCSampler). Which of them is tried, the surrogate decides (`explore`).
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

from peftcost.core.setup import Scalar, Setup
from peftcost.searcher.explore import StartingPoints
from peftcost.searcher.state import SearchState
from peftcost.store.study import Spaces, quiet_optuna


class Proposals:
    """Proposes setups; a function of the seed and of what was begun.

    spaces, starts: of each arm; the prior-best setup's choices stand where the space has none.
    """

    def __init__(self, spaces: Spaces, starts: StartingPoints, seed: int) -> None:
        self.spaces, self.starts, self.seed = spaces, starts, seed
        self._studies: dict[str, optuna.Study] = {}
        self._drawn: dict[str, list[dict[str, Scalar]]] = {}

    def suggest(self, state: SearchState, arm: str, stop_examples: int) -> list[Setup]:
        """A few setups of the arm that nobody tried and that begin at this stop. Its prior-best setup and the best of earlier
        runs come alone, before all others."""
        config, tried = state.config, state.explored.tried.get((arm, stop_examples), set())
        if arm not in state.explored.arms:
            return [setup.until(stop_examples) for setup in self.starts[arm][:2]]
        starts = [setup.until(stop_examples) for setup in self.starts[arm]]
        fresh = {setup.id: setup for setup in starts if setup.id not in tried}
        prior, space = starts[0].hyperparameters, self.spaces[arm]
        near = neighbours(prior, space, config.neighbour_factors) if len(tried) < config.neighbour_trials else []
        for choices in (*near, *self.points(arm, len(tried) + config.proposals_per_arm)[len(tried) :]):
            setup = self.setup_of(arm, choices, stop_examples, tried | fresh.keys())
            if setup is not None and setup.id not in tried:
                fresh[setup.id] = setup
        return list(fresh.values())

    def setup_of(self, arm: str, choices: Mapping[str, Scalar], stop_examples: int, known: set[str]) -> Setup | None:
        """The setup with these choices. known: the ids of those that there are already."""
        prior = self.starts[arm][0]
        return Setup(prior.method, {**prior.hyperparameters, **choices}, stop_examples)

    @quiet_optuna()
    def points(self, arm: str, n: int) -> Sequence[Mapping[str, Scalar]]:
        """The first n points of the arm's quasi-random sequence, or more."""
        drawn = self._drawn.setdefault(arm, [])
        if arm not in self._studies:
            seed = zlib.crc32(f"{self.seed} {arm}".encode())
            self._studies[arm] = optuna.create_study(sampler=optuna.samplers.QMCSampler(seed=seed, scramble=True))
        for _ in range(n - len(drawn)):
            trial = self._studies[arm].ask(dict(self.spaces[arm]))
            drawn.append(dict(trial.params))
            self._studies[arm].tell(trial, 0.0)  # the sampler looks at no value, but takes the space from what is told
        return drawn


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
