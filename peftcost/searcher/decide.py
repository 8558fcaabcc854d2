"""What to do next with the budget. Pure: the same state gives the same answer.

The order of things: at the first stop the prior-best setups of all methods, where together they take no more than a share
of the budget, else of the cheapest method, of full and of LoRA; then whatever is expected to add most to the front for what
it costs, a promotion or a proposal (`explore`); then the references on, while they are likely to overtake what would be
recommended (`references`); then confirmation of the contenders with fresh seeds (`confirm`); then, with what is left, what
may still change the recommendation (`forecast`), to be confirmed in its turn; then the end. What confirmation and test will
take is kept back from the start.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from scipy import stats

from peftcost.core.budget import format_seconds
from peftcost.core.setup import Setup, method_of
from peftcost.core.statistics import CONFIRM_SEEDS, NonInferiority, Replicates
from peftcost.searcher.actions import Action, Promote, Propose, Skip, Stop, Wait
from peftcost.searcher.config import SearchConfig
from peftcost.searcher.confirm import confirm_or_stop, confirm_reserve, contenders_seconds, recommended_now
from peftcost.searcher.explore import Candidate, StartingPoints, Suggest, candidates, promotions, reachable
from peftcost.searcher.forecast import forecast
from peftcost.searcher.references import follow
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
    config = state.config
    left = state.left_after(config.safety * state.cost.closing_seconds(), now) - committed_seconds(state, now)
    present = contenders_seconds(state, replicates, criterion.margin)
    share = reserved_share(replicates, criterion, config)
    tried = state.explored.first
    untried = {arm: untried_openings(state, arm, starts[arm]) for arm in state.arms if arm not in state.skipped}
    all_go_first = sum(sum(needs.values()) for needs in untried.values()) <= config.first_share * state.limit_gpu_seconds
    for arm, needs in untried.items():
        kept = {s: reserve(state, share, present, s) if tried else 0.0 for s in needs}  # one result is better than none
        payable = [s for s, seconds in needs.items() if seconds + kept[s] <= left]
        if needs and arm not in tried and min(needs.values()) > left:
            return Skip(arm, min(needs.values()))
        is_wanted = arm in state.references or bool(recipe_starts(state, arm, starts[arm]))
        goes_first = is_wanted and (not tried or min(needs.values(), default=0.0) <= config.opening_share * left)
        if payable and (all_go_first or goes_first):
            return Propose(payable[0])
    further = recipe_further(state, starts, left)
    explored = further or explore_more(state, starts, suggest, present, share, criterion.margin, left, now)
    if explored is None and replicates is not None and present and state.exploring:
        recommended = state.setup(recommended_now(state, replicates, criterion))
        beyond = left - config.least_reserved * (state.limit_gpu_seconds - state.spent_before_gpu_seconds)
        explored = follow(state, recommended, criterion.margin, beyond)
        explored = explored or explore_in_place_of_proof(state, suggest, recommended, criterion.margin, beyond)
    if explored is not None:
        return explored
    if state.exploring and state.running():
        return Wait()
    action = confirm_or_stop(state, replicates, criterion, left)
    if isinstance(action, Stop) and replicates is not None and replicates.observed:
        action = explore_again(state, suggest, replicates, criterion, left, action)
    return Wait() if isinstance(action, Stop) and state.running() else action


def untried_openings(state: SearchState, arm: str, starts: Sequence[Setup]) -> dict[Setup, float]:
    """What the arm is opened with and nobody has begun, and the gpu-seconds that it takes: the setups of recipes, then the
    prior-best one. (What earlier runs found to be good competes: the surrogate knows what they read, and may know better.)"""
    begun = state.explored.first.get(arm, {})
    first = [setup.until(state.stops[0]) for setup in (*recipe_starts(state, arm, starts), starts[0])]
    untried = [setup for setup in first if setup.lineage not in begun]
    safety = state.config.safety
    return {s: safety * state.cost.predict(s, dev_rows=state.dev_sample).trial_seconds for s in untried}


def recipe_starts(state: SearchState, arm: str, starts: Sequence[Setup]) -> Sequence[Setup]:
    """Of the arm's starting points, those of recipes. They come without readings, so nothing but a trial tells whether they
    are good."""
    return starts[1 : 1 + sum(setup.method == method_of(arm) for setup in state.recipe_setups)]


def recipe_further(state: SearchState, starts: StartingPoints, available: float) -> Promote | None:
    """A recipe's setup, when begun, is trained as long as the recipe says: what is best in the end need not be ahead soon."""
    recipes = [recipe for arm in state.arms for recipe in recipe_starts(state, arm, starts[arm])]
    promoted = {candidate.ahead[0].lineage: candidate for candidate in promotions(state)} if recipes else {}
    for recipe in recipes:
        candidate, latest = promoted.get(recipe.lineage), state.explored.latest.get(recipe.lineage)
        if candidate is None or latest is None or latest.setup.stop_examples >= recipe.stop_examples:
            continue
        at = next((at for at, longer in enumerate(candidate.ahead) if longer.stop_examples >= recipe.stop_examples), -1)
        if candidate.needs[at] <= state.config.recipe_share * available:
            return Promote(latest.number, candidate.ahead[at].stop_examples)
    return None


def committed_seconds(state: SearchState, now: float) -> float:
    """What running trials will still take."""
    safety = state.config.safety
    return sum(
        max(0.0, safety * t.predicted.trial_seconds - len(t.slot.devices) * (now - t.started_t)) for t in state.running()
    )


def explore_more(
    state: SearchState,
    starts: StartingPoints,
    suggest: Suggest,
    present: Sequence[float],
    share: float,
    margin: float,
    available: float,
    now: float,
) -> Promote | Propose | None:
    """The promotion or proposal that is worth most and can be paid for, or None when exploring is over. present: what
    training the present contenders takes; share: of the budget, that is kept back for it at most."""
    if not present or not state.exploring:
        return None
    before = state.spent_before_gpu_seconds
    left = state.config.explore_share * (state.limit_gpu_seconds - before) - (state.ledger.spent(now) - before)
    if left <= 0:
        return None

    def is_payable(candidate: Candidate) -> bool:
        return candidate.needs[0] + reserve(state, share, present, candidate.ahead[0]) <= available

    for candidate in candidates(state, starts, suggest, margin):
        if candidate.gain_rate * left >= state.config.negligible_gain and is_payable(candidate):
            return candidate.action
    return None


def explore_in_place_of_proof(
    state: SearchState, suggest: Suggest, recommended: Setup, margin: float, available: float
) -> Promote | Propose | None:
    """Confirming what something better is likely to overtake is a waste: then it is explored with what is available, which is
    most of what was kept back for that."""
    further = forecast(state, reachable(state, suggest), margin, recommended, available, or_cheaper=False)
    return further.action if further.chance >= state.config.overtaken_chance else None


def explore_again(
    state: SearchState,
    suggest: Suggest,
    replicates: Replicates,
    criterion: NonInferiority,
    available: float,
    stop: Stop,
) -> Promote | Propose | Stop:
    """Where confirming is over and money is left: what may still change the recommendation, if that is likely enough."""
    recommended = state.setup(recommended_now(state, replicates, criterion))
    further = forecast(state, reachable(state, suggest), criterion.margin, recommended, available)
    if further.action is None:
        return stop
    if further.chance >= state.config.explore_again_chance:
        return further.action
    return Stop(
        f"{stop.because}; the rest of the budget would change the recommendation with a chance of {further.chance:.0%}"
    )


def reserved_share(replicates: Replicates | None, criterion: NonInferiority, config: SearchConfig) -> float:
    """The share of the budget that is kept back for confirmation at most: less where two setups that are equally good would
    be shown to be so in less than half of the cases, since the difference of their confirmations errs by too much."""
    if replicates is None:
        return config.most_reserved
    error = float(stats.norm.ppf(criterion.confidence)) * replicates.seed_deviation * math.sqrt(2 / CONFIRM_SEEDS)
    return config.most_reserved if error <= criterion.margin else config.reserved_out_of_reach


def reserve(state: SearchState, share: float, present: Sequence[float], upcoming: Setup) -> float:
    """gpu-seconds to keep back for confirmation, no more than this share of the budget. present: what training the present
    contenders takes."""
    most = share * (state.limit_gpu_seconds - state.spent_before_gpu_seconds)
    return min(most, confirm_reserve(present, state.cost.predict(upcoming).trial_seconds, state.config))


def too_small(needs_gpu_seconds: float, limit_gpu_seconds: float, cheapest: str, safety: float) -> str:
    """The sentence for a budget that buys nothing. safety: what is asked for is this much more than is needed."""
    return (
        f"The budget of {format_seconds(limit_gpu_seconds)} of device time is too small: even the cheapest setup "
        f"({cheapest}) with planning and test needs about {format_seconds(needs_gpu_seconds)}; "
        f"say --budget {math.ceil(needs_gpu_seconds * safety)}gpu-s or more. A shorter max_length or fewer dev and test rows "
        "make it smaller."
    )
