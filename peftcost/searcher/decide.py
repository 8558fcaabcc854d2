"""What to do next with the budget, in four phases. Pure: the same state gives the same answer.

Cover: at the first stop the prior-best setups of all methods, where together they take no more than a share of the budget,
else of the cheapest method, of full and of LoRA; then these references on, until they have begun to learn. Explore: whatever
is expected to add most to the front for what it costs, a promotion or a proposal (`explore`); then the references on, while
they are likely to overtake what would be recommended (`references`). Confirm: the contenders are trained again with fresh
seeds (`confirm`). End, unless what is left may still change the recommendation (`forecast`, `references`): then that is
tried, and confirmed in its turn. What confirmation and test will take is kept back from the start.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from peftcost.core.budget import format_seconds
from peftcost.core.setup import Setup, method_of
from peftcost.core.statistics import CONFIRM_SEEDS, NonInferiority, Replicates
from peftcost.searcher.actions import Action, Confirm, Promote, Propose, Skip, Stop, Wait
from peftcost.searcher.config import SearchConfig
from peftcost.searcher.confirm import confirm_or_stop, confirm_reserve, contenders_seconds, recommended_now
from peftcost.searcher.explore import StartingPoints, Suggest, candidates, promotions, reachable
from peftcost.searcher.forecast import BudgetForecast, forecast
from peftcost.searcher.parts import parts_reserve
from peftcost.searcher.references import begin, follow
from peftcost.searcher.state import SearchState

REFERENCE_METHODS = ("full", "lora")
"""References besides the cheapest method: what everything else is held against."""


def references_of(arms: Sequence[str], cheapest: Sequence[str]) -> list[str]:
    """The cheapest, full, LoRA: those of the arms that go first. With several bases, each of these on all of them."""
    first = [*cheapest, *(arm for name in REFERENCE_METHODS for arm in arms if method_of(arm) == name)]
    return list(dict.fromkeys(first))


def next_action(
    state: SearchState,
    starts: StartingPoints,
    suggest: Suggest,
    replicates: Replicates | None,
    criterion: NonInferiority,
    now: float,
) -> Action:
    """What to start on a free device.

    starts: of each arm, recipes' at their own length, the others at the first stop. suggest: what else could be begun.
    replicates: of all measured setups (None before any). now: seconds on the run's clock.
    """
    moment = Moment(state, starts, suggest, replicates, criterion, now)
    action: Action | None = cover(moment) or explore(moment)
    if action is None and state.exploring and state.running():
        return Wait()
    action = action or confirm_or_stop(state, replicates, criterion, moment.left)
    if isinstance(action, Stop):
        action = end(moment, action)
    elif isinstance(action, Confirm) and action.seed >= state.config.first_confirm_seed + CONFIRM_SEEDS:
        action = rising(moment) or action  # no number of seeds confirms what a reference may overtake
    return Wait() if isinstance(action, Stop) and state.running() else action


@dataclass(frozen=True)
class Moment:
    """What a decision is made from, as `next_action` has it, and what follows from that."""

    state: SearchState
    starts: StartingPoints
    suggest: Suggest
    replicates: Replicates | None
    criterion: NonInferiority
    now: float

    @property
    def config(self) -> SearchConfig:
        return self.state.config

    @property
    def budget(self) -> float:
        """gpu-seconds, or what was added when it was last set."""
        return self.state.limit_gpu_seconds - self.state.spent_before_gpu_seconds

    @cached_property
    def left(self) -> float:
        """gpu-seconds, less what closing, the recommended setup on parts of the rows, and the running trials will take."""
        left = self.state.left_after(self.config.safety * self.state.cost.closing_seconds(), self.now)
        parts = 0.0 if self.recommended is None else parts_reserve(self.state, self.recommended, self.budget)
        return left - parts - committed_seconds(self.state, self.now)

    @cached_property
    def contenders_seconds(self) -> list[float]:
        """What training the present contenders takes."""
        return contenders_seconds(self.state, self.replicates, self.criterion.margin)

    @cached_property
    def recommended(self) -> Setup | None:
        """What would be recommended now."""
        if self.replicates is None or not self.replicates.observed:
            return None
        return self.state.setup(recommended_now(self.state, self.replicates, self.criterion))

    @property
    def left_to_explore(self) -> float:
        """gpu-seconds: exploring has a share of the budget."""
        return self.config.explore_share * self.budget - (
            self.state.ledger.spent(self.now) - self.state.spent_before_gpu_seconds
        )

    def reserve(self, upcoming: Setup) -> float:
        """gpu-seconds to keep back for confirmation when this setup is tried."""
        needs = self.state.cost.predict(upcoming).trial_seconds
        return min(self.config.most_reserved * self.budget, confirm_reserve(self.contenders_seconds, needs, self.config))

    def forecast(self, available: float, or_cheaper: bool = True) -> BudgetForecast:
        """Of exploring on with so many gpu-seconds."""
        assert self.recommended is not None
        found = reachable(self.state, self.suggest)
        return forecast(self.state, found, self.criterion.margin, self.recommended, available, or_cheaper)


# -- cover -----------------------------------------------------------------------------------------------------------------


def cover(moment: Moment) -> Propose | Skip | Promote | None:
    """What goes before exploring: each method's prior-best setup, then references that have not begun to learn."""
    opened = open_methods(moment)
    if opened is not None or not moment.state.exploring:
        return opened
    payable = min(moment.left_to_explore, moment.config.begin_share * moment.left)
    return begin(moment.state, moment.criterion.margin, payable)


def open_methods(moment: Moment) -> Propose | Skip | None:
    """A method's prior-best setup that has not been begun; None when all are that go first."""
    state, config, tried = moment.state, moment.config, moment.state.explored.first
    untried = {arm: untried_openings(state, arm, moment.starts[arm]) for arm in state.arms if arm not in state.skipped}
    all_go_first = sum(sum(needs.values()) for needs in untried.values()) <= config.first_share * state.limit_gpu_seconds
    for arm, needs in untried.items():
        kept = {s: moment.reserve(s) if tried else 0.0 for s in needs}  # one result is better than none
        payable = [s for s, seconds in needs.items() if seconds + kept[s] <= moment.left]
        if needs and arm not in tried and min(needs.values()) > moment.left:
            return Skip(arm, min(needs.values()))
        is_wanted = arm in state.references or bool(recipe_starts(state, arm, moment.starts[arm]))
        goes_first = is_wanted and (not tried or min(needs.values(), default=0.0) <= config.opening_share * moment.left)
        if payable and (all_go_first or goes_first):
            return Propose(payable[0])
    return None


def untried_openings(state: SearchState, arm: str, starts: Sequence[Setup]) -> dict[Setup, float]:
    """What the arm is opened with and nobody has begun, and the gpu-seconds that it takes: the setups of recipes, then the
    prior-best one. (What earlier runs found to be good competes.)"""
    begun = state.explored.first.get(arm, {})
    first = [setup.until(state.stops[0]) for setup in (*recipe_starts(state, arm, starts), starts[0])]
    untried = [setup for setup in first if setup.lineage not in begun]
    safety = state.config.safety
    return {s: safety * state.cost.predict(s, dev_rows=state.dev_sample).trial_seconds for s in untried}


def recipe_starts(state: SearchState, arm: str, starts: Sequence[Setup]) -> Sequence[Setup]:
    """Of the arm's starting points, those of recipes. They come without readings, so nothing but a trial tells whether they
    are good."""
    return starts[1 : 1 + sum(setup.method == method_of(arm) for setup in state.recipe_setups)]


# -- explore ---------------------------------------------------------------------------------------------------------------


def explore(moment: Moment) -> Promote | Propose | None:
    """The next training of a seed that others have, or None when it is time to confirm."""
    found = recipe_further(moment) or most_promising(moment)
    if found is not None or moment.recommended is None or not moment.contenders_seconds or not moment.state.exploring:
        return found
    beyond = moment.left - moment.config.least_reserved * moment.budget
    return follow(moment.state, moment.recommended, moment.criterion.margin, beyond) or in_place_of_proof(moment, beyond)


def recipe_further(moment: Moment) -> Promote | None:
    """A recipe's setup, when begun, is trained as long as the recipe says: what is best in the end need not be ahead soon."""
    state = moment.state
    recipes = [recipe for arm in state.arms for recipe in recipe_starts(state, arm, moment.starts[arm])]
    promoted = {candidate.ahead[0].lineage: candidate for candidate in promotions(state)} if recipes else {}
    for recipe in recipes:
        candidate, latest = promoted.get(recipe.lineage), state.explored.latest.get(recipe.lineage)
        if candidate is None or latest is None or latest.setup.stop_examples >= recipe.stop_examples:
            continue
        at = next((at for at, longer in enumerate(candidate.ahead) if longer.stop_examples >= recipe.stop_examples), -1)
        if candidate.needs[at] <= state.config.recipe_share * moment.left:
            return Promote(latest.number, candidate.ahead[at].stop_examples)
    return None


def most_promising(moment: Moment) -> Promote | Propose | None:
    """The promotion or proposal that is worth most and can be paid for; None when exploring has had its share, or would add
    next to nothing."""
    state, config = moment.state, moment.config
    left = moment.left_to_explore
    if left <= 0 or not moment.contenders_seconds or not state.exploring:
        return None
    for candidate in candidates(state, moment.starts, moment.suggest, moment.criterion.margin):
        is_payable = candidate.needs[0] + moment.reserve(candidate.ahead[0]) <= moment.left
        if candidate.gain_rate * left >= config.negligible_gain and is_payable:
            return candidate.action
    return None


def in_place_of_proof(moment: Moment, available: float) -> Promote | Propose | None:
    """Confirming what something better is likely to overtake is a waste: then it is explored with what is available, which is
    most of what was kept back for that."""
    further = moment.forecast(available, or_cheaper=False)
    return further.action if further.chance >= moment.config.overtaken_chance else None


# -- confirm and end -------------------------------------------------------------------------------------------------------


def end(moment: Moment, stop: Stop) -> Promote | Propose | Stop:
    """Where confirming is over: what may still change the recommendation, if that can be paid and is likely enough; else a
    reference that is rising by its own curve, of which the others' tell nothing."""
    if moment.recommended is None:
        return stop
    further = moment.forecast(moment.left)
    if further.action is None:
        return stop
    if further.chance >= moment.config.explore_again_chance:
        return further.action
    return rising(moment) or Stop(
        f"{stop.because}; the rest of the budget would change the recommendation with a chance of {further.chance:.0%}"
    )


def rising(moment: Moment) -> Promote | Propose | None:
    """The next stop of a reference that is rising, if what is left pays for it."""
    if moment.recommended is None:
        return None
    return follow(moment.state, moment.recommended, moment.criterion.margin, moment.left)


def committed_seconds(state: SearchState, now: float) -> float:
    """What running trials will still take."""
    safety = state.config.safety
    return sum(
        max(0.0, safety * t.predicted.trial_seconds - len(t.slot.devices) * (now - t.started_t)) for t in state.running()
    )


def too_small(needs_gpu_seconds: float, limit_gpu_seconds: float, cheapest: str, safety: float) -> str:
    """The sentence for a budget that buys nothing. safety: what is asked for is this much more than is needed."""
    return (
        f"The budget of {format_seconds(limit_gpu_seconds)} of device time is too small: even the cheapest setup "
        f"({cheapest}) with planning and test needs about {format_seconds(needs_gpu_seconds)}; "
        f"say --budget {math.ceil(needs_gpu_seconds * safety)}gpu-s or more. A shorter max_length or fewer dev and test rows "
        "make it smaller."
    )
