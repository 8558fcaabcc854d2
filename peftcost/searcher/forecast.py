"""Whether exploring further would change the recommendation, and to what. Pure.

What was measured and what could be tried next are drawn together from the surrogate, many times. A draw is better for a new
setup if that is better than everything measured by more than the margin, or cheaper than the recommended one by a tenth and
within the margin of everything measured. That every such setup would be recognised is assumed. How often it holds stands in
docs/benchmarks/search.md, "Twice the budget".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from peftcost.core.setup import Setup
from peftcost.searcher.actions import Explore
from peftcost.searcher.explore import Suggest, reachable, surrogate_of, worth_a_look
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
    action: Explore | None

    def as_dict(self) -> dict[str, float]:
        """What is told of it."""
        return {name: value for name, value in vars(self).items() if name != "action"}


def within(drawn: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    """The draws, shape (n, setups), as far as a metric with these limits allows. Above the middle of its range a quality x
    deviates upwards by less, as a share of hits does: by 2 (x (1 - x))^(1/2) of what it does in the middle."""
    low, high = limits
    mean = drawn.mean(axis=0).clip(low, high)
    place = np.maximum(0.5, (mean - low) / (high - low)) if np.isfinite(high - low) else 0.5
    upwards = 2 * np.sqrt(place * (1 - place))
    apart = drawn - mean
    return np.asarray(np.clip(mean + np.where(apart > 0, upwards * apart, apart), low, high))


def chance_of_better(state: SearchState, suggest: Suggest, margin: float, available: float) -> float:
    """That spending `available` gpu_seconds finds something better than all that was measured, by more than the margin."""
    (best,) = state.explored.best(1)
    return forecast(state, suggest, margin, best.setup, available, or_cheaper=False).chance


def forecast(
    state: SearchState, suggest: Suggest, margin: float, recommended: Setup, available: float, or_cheaper: bool = True
) -> BudgetForecast:
    """Of spending `available` gpu_seconds on some of what could be explored; `recommended`: what would be recommended now.
    or_cheaper: whether being cheaper and as good is a change for the better, too."""
    found = [(c.action, *stop) for c in reachable(state, suggest) for stop in zip(c.ahead, c.needs, strict=True)]
    ahead = [stop for stop in found if stop[2] <= available]
    if not ahead:
        return BudgetForecast(available, 0.0, 0.0, 1.0, None)
    known = list({setup.id: setup for setup in (*worth_a_look(state), recommended)}.values())
    config = state.config
    sampled = surrogate_of(state).sample([*known, *(setup for _, setup, _ in ahead)], config.forecast_draws)
    drawn = within(sampled, state.limits)
    measured, new = drawn[:, : len(known)], drawn[:, len(known) :]
    bar = measured.max(axis=1)
    costs = np.array([state.cost.predict(setup).gpu_seconds for _, setup, _ in ahead])
    cost = state.cost.predict(recommended).gpu_seconds
    improves = new > bar[:, None] + margin
    if or_cheaper:
        improves |= (new >= bar[:, None] - margin) & (costs < config.cheaper_share * cost)
    needs = np.array([seconds for _, _, seconds in ahead])
    order = np.argsort(-improves.mean(axis=0) / needs, kind="stable")
    bought = order[np.cumsum(needs[order]) <= available]
    quality = measured[:, [s.id for s in known].index(recommended.id)]
    better = np.where(improves, new, -np.inf)[:, bought]
    changed = better.max(axis=1) > -np.inf
    good = better >= better.max(axis=1, keepdims=True) - margin
    chosen = np.argmin(np.where(good, costs[bought], np.inf), axis=1)
    reached = np.where(changed, better[np.arange(len(better)), chosen], quality)
    share = np.where(changed, costs[bought][chosen] / cost, 1.0)
    return BudgetForecast(
        gpu_seconds=available,
        chance=float(changed.mean()),
        quality_gain=float((reached - quality).mean()),
        cost_share=float(np.exp(np.log(share).mean())),
        action=ahead[bought[0]][0],
    )
