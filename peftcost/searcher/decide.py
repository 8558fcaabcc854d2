"""What to do next with the budget. Pure: the same state gives the same answer.

The order of things: the prior-best setup of each method that can be afforded (cheapest method, full, LoRA, then by
funding rank), then proposals from Optuna, then confirmation of the contenders with fresh seeds, then the end.
What confirmation, test and baselines will take is kept back from the start.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from peftcost.core.budget import spell_seconds
from peftcost.core.front import front
from peftcost.core.measurement import timed_undisturbed
from peftcost.core.setup import Setup
from peftcost.core.statistics import CONFIRM_SEEDS, Replicates, lower_bounds, probability_within_margin
from peftcost.searcher.state import SearchState

MOST_CONFIRM_SEEDS = 5
CONTENDERS = 3
"""For how many setups the budget keeps confirmation back."""
PLAUSIBLE = 0.05
"""A setup whose probability of being within the margin of the best is below this is no contender."""
EXPLORE_SHARE = 0.7
"""Of the budget: exploring ends here at the latest, the rest is for confirmation."""
SAFETY = 1.1
"""Predictions are taken this much dearer, since the budget must hold."""
FIRST_CONFIRM_SEED = 1001
EPOCHS = (1 / 16, 1 / 8, 1 / 4, 3 / 8, 1 / 2, 5 / 8, 3 / 4, 7 / 8, 1.0, 1.25, 1.5, 2.0, 3.0)
FEWEST_STEPS = 20


@dataclass(frozen=True)
class Fund:
    """Measure the prior-best setup of this method."""

    method: str


@dataclass(frozen=True)
class Skip:
    """This method cannot be paid for."""

    method: str
    needs_gpu_seconds: float


@dataclass(frozen=True)
class Propose:
    """Ask Optuna for a setup of this method."""

    method: str


@dataclass(frozen=True)
class Confirm:
    """Train a contender again with a fresh seed."""

    setup: Setup
    seed: int


@dataclass(frozen=True)
class Wait:
    """Nothing to start until something running has ended."""


@dataclass(frozen=True)
class Stop:
    """Enough; why."""

    because: str


Action = Fund | Skip | Propose | Confirm | Wait | Stop


def funding_order(methods: Sequence[str], cheapest: str) -> list[str]:
    """The cheapest method, full, LoRA, then the order in which the methods are given."""
    first = [name for name in (cheapest, "full", "lora") if name in methods]
    return list(dict.fromkeys([*first, *methods]))


def choose_stop(
    rows: int,
    batch_size: int,
    seconds_per_example: Sequence[float],
    seconds_beside: Sequence[float],
    available: float,
) -> int:
    """The longest training, in examples, at which all methods and the confirmation can be paid for.

    seconds_per_example, seconds_beside: per method. available: gpu-seconds, closing costs already taken off.
    Never below `FEWEST_STEPS` steps; when even that is too much, methods will be skipped.
    """
    least = min(rows, FEWEST_STEPS * batch_size)
    best = least
    for epochs in EPOCHS:
        examples = max(least, round(rows * epochs))
        trials = [rate * examples + beside for rate, beside in zip(seconds_per_example, seconds_beside, strict=True)]
        confirmation = CONFIRM_SEEDS * sum(sorted(trials)[-CONTENDERS:])
        if SAFETY * (sum(trials) + confirmation) <= available:
            best = max(best, examples)
    return best


def next_action(
    state: SearchState, prior: dict[str, Setup], replicates: Replicates | None, margin: float, now: float
) -> Action:
    """What to start on a free device.

    prior: each method's prior-best setup at this run's length. replicates: of all measured setups (None before any).
    now: seconds on the run's clock.
    """
    left = state.limit_gpu_seconds - state.ledger.spent(now) - committed_seconds(state, now)
    closing = SAFETY * state.cost.closing_seconds()
    tried = {t.setup.method for t in state.trials.values() if t.role == "explore"}
    for method in state.methods:
        if method in tried or method in state.skipped:
            continue
        needs = SAFETY * state.cost.predict(prior[method]).trial_seconds
        if needs + closing + confirm_reserve(state, replicates, margin, prior[method]) <= left or not tried:
            return Fund(method)
        return Skip(method, needs)
    explored = explore_more(state, replicates, margin, left - closing, now)
    if explored is not None:
        return explored
    if any(t.role == "explore" for t in state.running()):
        return Wait()
    return confirm_or_stop(state, replicates, margin, left - closing)


def committed_seconds(state: SearchState, now: float) -> float:
    """What running trials will still take."""
    return sum(max(0.0, SAFETY * t.predicted.trial_seconds - (now - t.started_t)) for t in state.running())


def contenders(replicates: Replicates, margin: float, gpu_seconds: Mapping[str, float]) -> list[str]:
    """Setups worth confirming: the best observed, then those that may be as good, the likeliest (then cheapest) first.

    Dearer ones are among them: what may be the best sets the bar that a cheaper one has to be shown to reach.
    gpu_seconds: per setup.
    """
    if not replicates.observed:
        return []
    best = max(replicates.observed, key=lambda s: replicates.observed[s])
    probability = probability_within_margin(replicates, margin)
    others = [s for s in probability if s != best and probability[s] >= PLAUSIBLE]
    return [best, *sorted(others, key=lambda s: (-round(probability[s], 2), gpu_seconds[s]))]


def gpu_seconds_of(state: SearchState) -> dict[str, float]:
    """Per measured setup the mean over the trials that speak for it."""
    found: dict[str, float] = {}
    for setup_id in {trial.setup.id for trial in state.measured()}:
        measured = [t.measurement for t in state.decisive(setup_id) if t.measurement is not None]
        costs = [m.gpu_seconds for m in timed_undisturbed(measured)]
        found[setup_id] = sum(costs) / len(costs)
    return found


def confirm_reserve(state: SearchState, replicates: Replicates | None, margin: float, upcoming: Setup) -> float:
    """What confirming the contenders will take: the present ones, or `upcoming` in their place if that is dearer."""
    known = contenders(replicates, margin, gpu_seconds_of(state))[:CONTENDERS] if replicates is not None else []
    setups = state.setups()
    costs = [state.cost.predict(setups[s]).trial_seconds for s in known]
    costs.append(state.cost.predict(upcoming).trial_seconds)
    return SAFETY * CONFIRM_SEEDS * sum(sorted(costs)[-CONTENDERS:])


def explore_more(
    state: SearchState, replicates: Replicates | None, margin: float, available: float, now: float
) -> Propose | None:
    """The method to draw a proposal for, or None when exploring is over."""
    if replicates is None or not replicates.observed or any(t.role == "confirm" for t in state.trials.values()):
        return None
    if state.ledger.spent(now) > EXPLORE_SHARE * state.limit_gpu_seconds:
        return None
    method = method_to_explore(state, replicates, margin)
    if method is None:
        return None
    example = next(t.setup for t in state.trials.values() if t.setup.method == method)
    needs = SAFETY * state.cost.predict(example).trial_seconds
    return Propose(method) if needs + confirm_reserve(state, replicates, margin, example) <= available else None


def method_to_explore(state: SearchState, replicates: Replicates, margin: float) -> str | None:
    """Of the methods near the best or on the front, the one that was tried least so far."""
    setups = state.setups()
    points = {}
    for trial in state.measured():
        if trial.measurement is not None:
            m = trial.measurement
            points[trial.setup.id] = (m.quality, m.gpu_seconds, float(m.peak_bytes))
    best = max(replicates.observed.values())
    near = {s for s, q in replicates.observed.items() if q >= best - 3 * margin}
    worth = {setups[s].method for s in near | set(front(points))}
    counts = Counter(t.setup.method for t in state.trials.values() if t.role == "explore")
    return min(worth, key=lambda m: (counts[m], state.methods.index(m)), default=None)


def confirm_or_stop(state: SearchState, replicates: Replicates | None, margin: float, available: float) -> Action:
    """The next confirmation in rounds of one fresh seed for each contender, or the end."""
    if replicates is None or not replicates.observed:
        return Wait() if state.running() else Stop("no setup could be measured")
    done = Counter(t.setup.id for t in state.trials.values() if t.role == "confirm" and t.status != "failed")
    failed = {t.setup.id for t in state.trials.values() if t.role == "confirm" and t.status == "failed"}
    setups = state.setups()
    wanted = [s for s in confirmable(state, replicates, margin, available, done) if s not in failed]
    fewest = min((done[s] for s in wanted), default=0)
    if fewest >= CONFIRM_SEEDS and not state.running() and is_settled(state, replicates, margin, done):
        only = len(replicates.observed) == 1
        return Stop("only one setup could be paid for" if only else "the recommendation is confirmed")
    if fewest >= MOST_CONFIRM_SEEDS:
        return Wait() if state.running() else Stop(f"{MOST_CONFIRM_SEEDS} seeds of each contender are measured")
    for setup_id in wanted:
        if done[setup_id] == fewest:
            if fewest >= CONFIRM_SEEDS and state.running():
                return Wait()  # its result may settle the matter
            if SAFETY * state.cost.predict(setups[setup_id]).trial_seconds <= available:
                return Confirm(setups[setup_id], FIRST_CONFIRM_SEED + done[setup_id])
    return Wait() if state.running() else Stop("the budget does not pay for another trial")


def confirmable(state: SearchState, replicates: Replicates, margin: float, available: float, done: Counter[str]) -> list[str]:
    """Contenders whose two confirmations can all be paid for; those already begun come first."""
    setups = state.setups()
    chosen: list[str] = []
    for setup_id in sorted(contenders(replicates, margin, gpu_seconds_of(state)), key=lambda s: done[s] == 0):
        missing = max(0, CONFIRM_SEEDS - done[setup_id])
        needs = SAFETY * missing * state.cost.predict(setups[setup_id]).trial_seconds
        if needs <= available:
            chosen.append(setup_id)
            available -= needs
    return chosen


def is_settled(state: SearchState, replicates: Replicates, margin: float, done: Counter[str]) -> bool:
    """Whether the cheapest setup that is shown to be as good as the best is cheaper than all that still might be."""
    if len(replicates.observed) == 1:
        return True  # nothing to compare with: more seeds would tell nothing
    bounds = lower_bounds(replicates)
    shown = [s for s, bound in bounds.items() if bound > -margin and done[s] >= CONFIRM_SEEDS]
    if not shown:
        return False
    gpu_seconds = gpu_seconds_of(state)
    cheapest = min(gpu_seconds[s] for s in shown)
    return all(gpu_seconds[s] >= cheapest for s in contenders(replicates, margin, gpu_seconds) if s not in shown)


def too_small(needs_gpu_seconds: float, limit_gpu_seconds: float, cheapest: str) -> str:
    """The sentence for a budget that buys nothing."""
    return (
        f"The budget of {spell_seconds(limit_gpu_seconds)} of device time is too small: even the cheapest setup "
        f"({cheapest}) with planning, baselines and test needs about {spell_seconds(needs_gpu_seconds)}; "
        f"say --budget {math.ceil(needs_gpu_seconds * SAFETY)}gpu-s or more."
    )
