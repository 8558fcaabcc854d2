"""Whether exploring further would change the recommendation, and to what. Pure.

What was measured and what could be tried next are drawn together from the surrogate, many times. A draw is better for a new
setup if that is better than everything measured by more than the margin, or cheaper than the recommended one by a tenth and
within the margin of everything measured. That every such setup would be recognised is assumed, so these are upper bounds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from peftcost.core.setup import Setup
from peftcost.searcher.actions import Promote, Propose
from peftcost.searcher.explore import Suggest, needs_along, promotions, proposals, surrogate_of, worth_a_look
from peftcost.searcher.state import SearchState


@dataclass(frozen=True)
class BudgetForecast:
    """What a sum of gpu_seconds may bring to the recommendation.

    chance: that it changes for the better. quality_gain, cost_share: what it changes to, on average over all draws, those
    without a change included: quality above the present one's, cost over the present one's (geometric mean).
    action: the first step, None where nothing can be paid.
    """

    gpu_seconds: float
    chance: float
    quality_gain: float
    cost_share: float
    action: Promote | Propose | None

    def as_dict(self) -> dict[str, float]:
        """What is told of it."""
        names = ("gpu_seconds", "chance", "quality_gain", "cost_share")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class Option:
    """A setup that could be measured: by which action it is reached, and what it takes to measure it."""

    action: Promote | Propose
    setup: Setup
    needs_gpu_seconds: float


def forecast(
    state: SearchState,
    options: Sequence[Option],
    margin: float,
    recommended: Setup,
    available: float,
    or_cheaper: bool = True,
) -> BudgetForecast:
    """Of spending `available` gpu_seconds on some of the options; `recommended`: what would be recommended now. or_cheaper:
    whether being cheaper and as good is a change for the better, too."""
    options = [option for option in options if option.needs_gpu_seconds <= available]
    if not options:
        return BudgetForecast(available, 0.0, 0.0, 1.0, None)
    known = list({setup.id: setup for setup in (*worth_a_look(state), recommended)}.values())
    config = state.config
    drawn = surrogate_of(state).sample([*known, *(o.setup for o in options)], config.forecast_draws)
    measured, new = drawn[:, : len(known)], drawn[:, len(known) :]
    bar = measured.max(axis=1)
    costs = np.array([state.cost.predict(o.setup).gpu_seconds for o in options])
    cost = state.cost.predict(recommended).gpu_seconds
    improves = new > bar[:, None] + margin
    if or_cheaper:
        improves |= (new >= bar[:, None] - margin) & (costs < config.cheaper_share * cost)
    needs = np.array([o.needs_gpu_seconds for o in options])
    order = np.argsort(-improves.mean(axis=0) / needs, kind="stable")
    bought = order[np.cumsum(needs[order]) <= available]
    quality = measured[:, [s.id for s in known].index(recommended.id)]
    better = np.where(improves, new, -np.inf)[:, bought]
    changed = better.max(axis=1) > -np.inf
    good = better >= better.max(axis=1, keepdims=True) - margin
    chosen = np.argmin(np.where(good, costs[bought], np.inf), axis=1)
    reached = np.where(changed, better[np.arange(len(better)), chosen], quality)
    gain = np.clip(reached, *state.limits) - np.clip(quality, *state.limits)
    share = np.where(changed, costs[bought][chosen] / cost, 1.0)
    return BudgetForecast(
        gpu_seconds=available,
        chance=float(changed.mean()),
        quality_gain=float(gain.mean()),
        cost_share=float(np.exp(np.log(share).mean())),
        action=options[bought[0]].action,
    )


def options_of(state: SearchState, suggest: Suggest) -> list[Option]:
    """What could be measured next."""
    ways = (*promotions(state), *proposals(state, suggest))
    return [Option(way.action, s, needs) for way in ways for s, needs in zip(way.ahead, needs_along(state, way), strict=True)]
