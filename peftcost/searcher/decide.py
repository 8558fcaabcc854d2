"""What to do next with the budget, in four phases. Pure: the same state gives the same answer.

Cover: at the first stop the prior-best setups of all methods, where together they take no more than a share of the budget,
else of the cheapest method, of full and of LoRA; then these references on, until they have begun to learn. Explore: whatever
is expected to add most to the front for what it costs, a promotion or a proposal (`explore`); then the references on, while
they are likely to overtake what would be recommended (`references`). Confirm: the contenders are trained again with fresh
seeds (`confirm`). End, unless what is left may still change the recommendation (`forecast`, `references`): then that is
tried, and confirmed in its turn. What confirmation and test will take is kept back from the start.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from peftcost.core.setup import Setup, method_of
from peftcost.core.statistics import CONFIRM_SEEDS, NonInferiority, Replicates
from peftcost.searcher.actions import Action, Confirm, Explore, Skip, Stop, Wait
from peftcost.searcher.config import SearchConfig
from peftcost.searcher.confirm import confirm_or_stop, contenders, gpu_seconds_of, settled
from peftcost.searcher.explore import StartingPoints, Suggest, candidates, promotion_of
from peftcost.searcher.forecast import BudgetForecast, forecast
from peftcost.searcher.parts import parts_reserve
from peftcost.searcher.references import begin, rising_at, train_on
from peftcost.searcher.state import SearchState

REFERENCE_METHODS = ("full", "lora")
"""References besides the cheapest method: what everything else is held against."""


def references_of(arms: Sequence[str], cheapest: Sequence[str]) -> list[str]:
    """The cheapest, full, LoRA: those of the arms that go first. With several bases, each of these on all of them."""
    first = [*cheapest, *(arm for name in REFERENCE_METHODS for arm in arms if method_of(arm) == name)]
    return list(dict.fromkeys(first))


def next_action(moment: Moment) -> Action:
    """What to start on a free device."""
    state = moment.state
    action: Action | None = cover(moment) or explore(moment)
    if action is None and state.exploring and state.running():
        return Wait()
    action = action or confirm_or_stop(state, moment.replicates, moment.criterion, moment.left)
    if isinstance(action, Stop):
        action = end(moment, action)
    elif isinstance(action, Confirm) and action.seed >= state.config.first_confirm_seed + CONFIRM_SEEDS:
        action = moment.rising(moment.left) or action  # no number of seeds confirms what a reference may overtake
    return Wait() if isinstance(action, Stop) and state.running() else action


@dataclass(frozen=True)
class Moment:
    """What a decision is made from, and what follows from that.

    starts: of each arm, recipes' at their own length, the others at the first stop. suggest: what else could be begun.
    replicates: of all measured setups (None before any). now: seconds on the run's clock.
    """

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
        safety = self.config.safety
        left = self.state.left_after(safety * self.state.cost.closing_seconds(), self.now)
        parts = 0.0 if self.recommended is None else parts_reserve(self.state, self.recommended, self.budget)
        running = (
            safety * trial.predicted.trial_seconds - len(trial.slot.devices) * (self.now - trial.started_t)
            for trial in self.state.running()
        )
        return left - parts - sum(max(0.0, seconds) for seconds in running)

    @cached_property
    def contenders(self) -> list[str]:
        """The present ones; none before anything is measured."""
        if self.replicates is None:
            return []
        gpu_seconds = gpu_seconds_of(self.state, self.replicates)
        return contenders(self.replicates, self.criterion.margin, gpu_seconds, self.config)

    @cached_property
    def recommended(self) -> Setup | None:
        """What would be recommended now: the settled one, else the cheapest that is expected to be as good as the best."""
        if self.replicates is None:
            return None
        return self.state.setup(settled(self.state, self.replicates, self.criterion) or self.contenders[0])

    @property
    def left_to_explore(self) -> float:
        """gpu-seconds: exploring has a share of the budget."""
        spent = self.state.ledger.spent(self.now) - self.state.spent_before_gpu_seconds
        return self.config.explore_share * self.budget - spent

    def reserve(self, upcoming: Setup) -> float:
        """gpu-seconds to keep back for confirmation when this setup is tried: for the present contenders, or for this one in
        place of one of them if it is dearer."""
        most = self.config.reserved_contenders
        reserved = [upcoming, *(self.state.setup(s) for s in self.contenders[:most])]
        dearest = sorted(self.state.cost.predict(setup).trial_seconds for setup in reserved)[-most:]
        return min(self.config.most_reserved * self.budget, self.config.safety * CONFIRM_SEEDS * sum(dearest))

    def rising(self, available: float) -> Explore | None:
        """The next stop of a reference that is rising, if that can be paid for."""
        if self.recommended is None or self.replicates is None:
            return None
        expected = self.replicates.as_expected.observed
        curves = rising_at(self.state, self.recommended, self.criterion.margin, expected)
        return train_on(self.state, [curve[-1] for curve in curves], available)

    def forecast(self, available: float, or_cheaper: bool = True) -> BudgetForecast:
        """Of exploring on with so many gpu-seconds."""
        assert self.recommended is not None
        return forecast(self.state, self.suggest, self.criterion.margin, self.recommended, available, or_cheaper)


# -- cover -----------------------------------------------------------------------------------------------------------------


def cover(moment: Moment) -> Explore | Skip | None:
    """What goes before exploring: each method's prior-best setup, then references that have not begun to learn."""
    opened = open_methods(moment)
    if opened is not None or not moment.state.exploring:
        return opened
    payable = min(moment.left_to_explore, moment.config.begin_share * moment.left)
    return begin(moment.state, moment.criterion.margin, payable)


def open_methods(moment: Moment) -> Explore | Skip | None:
    """A method's prior-best setup that has not been begun; None when all are that go first."""
    state, config, tried = moment.state, moment.config, moment.state.explored.arms
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
            return Explore(payable[0])
    return None


def untried_openings(state: SearchState, arm: str, starts: Sequence[Setup]) -> dict[Setup, float]:
    """What the arm is opened with and nobody has begun, and the gpu-seconds that it takes: the setups of recipes, then the
    prior-best one. (What earlier runs found to be good competes.)"""
    first = [setup.until(state.stops[0]) for setup in (*recipe_starts(state, arm, starts), starts[0])]
    untried = [setup for setup in first if setup.lineage not in state.explored.latest]
    safety = state.config.safety
    return {s: safety * state.cost.predict(s, dev_rows=state.dev_sample).trial_seconds for s in untried}


def recipe_starts(state: SearchState, arm: str, starts: Sequence[Setup]) -> Sequence[Setup]:
    """Of the arm's starting points, those of recipes. They come without readings, so nothing but a trial tells whether they
    are good."""
    return starts[1 : 1 + sum(setup.method == method_of(arm) for setup in state.recipe_setups)]


# -- explore ---------------------------------------------------------------------------------------------------------------


def explore(moment: Moment) -> Explore | None:
    """The next training of a seed that others have, or None when it is time to confirm. Where a budget was added to, what the
    advice had named as still rising goes first."""
    beyond = moment.left - moment.config.least_reserved * moment.budget
    was_added_to = moment.state.exploring and moment.state.spent_before_gpu_seconds > 0
    first = moment.rising(beyond) if was_added_to else None
    found = first or recipe_further(moment) or most_promising(moment)
    if found is not None or moment.recommended is None or not moment.state.exploring:
        return found
    return moment.rising(beyond) or in_place_of_proof(moment, beyond)


def recipe_further(moment: Moment) -> Explore | None:
    """A recipe's setup, when begun, is trained as long as the recipe says: what is best in the end need not be ahead soon."""
    state = moment.state
    recipes = [recipe for arm in state.arms for recipe in recipe_starts(state, arm, moment.starts[arm])]
    for recipe in recipes:
        latest = state.explored.latest.get(recipe.lineage)
        if latest is None or latest.setup.stop_examples >= recipe.stop_examples:
            continue
        candidate = promotion_of(state, latest)
        if candidate is None:
            continue
        at = next((at for at, longer in enumerate(candidate.ahead) if longer.stop_examples >= recipe.stop_examples), -1)
        if candidate.needs[at] <= state.config.recipe_share * moment.left:
            return replace(candidate.action, setup=candidate.ahead[at])
    return None


def most_promising(moment: Moment) -> Explore | None:
    """The promotion or proposal that is worth most and can be paid for; None when exploring has had its share, or would add
    next to nothing."""
    state, config = moment.state, moment.config
    left = moment.left_to_explore
    if left <= 0 or moment.replicates is None or not state.exploring:
        return None
    for candidate in candidates(state, moment.starts, moment.suggest, moment.criterion.margin):
        is_payable = candidate.needs[0] + moment.reserve(candidate.ahead[0]) <= moment.left
        if candidate.gain_rate * left >= config.negligible_gain and is_payable:
            return candidate.action
    return None


def in_place_of_proof(moment: Moment, available: float) -> Explore | None:
    """Confirming what something better is likely to overtake is a waste: then it is explored with what is available, which is
    most of what was kept back for that."""
    further = moment.forecast(available, or_cheaper=False)
    return further.action if further.chance >= moment.config.overtaken_chance else None


# -- confirm and end -------------------------------------------------------------------------------------------------------


def end(moment: Moment, stop: Stop) -> Explore | Stop:
    """Where confirming is over: what may still change the recommendation, if that can be paid and is likely enough; else a
    reference that is rising by its own curve, of which the others' tell nothing."""
    if moment.recommended is None:
        return stop
    further = moment.forecast(moment.left)
    if further.action is None:
        return stop
    if further.chance >= moment.config.explore_again_chance:
        return further.action
    return moment.rising(moment.left) or Stop(
        f"{stop.because}; the rest of the budget would change the recommendation with a chance of {further.chance:.0%}"
    )
