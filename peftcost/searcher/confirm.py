"""Confirmation: contenders are trained again with fresh seeds, until the recommendation is settled. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from statistics import fmean

from peftcost.core.measurement import timed_undisturbed
from peftcost.core.statistics import CONFIRM_SEEDS, NonInferiority, Replicates, probability_within_margin, shown_as_good
from peftcost.searcher.actions import Action, Confirm, Stop, Wait
from peftcost.searcher.config import SearchConfig
from peftcost.searcher.state import SearchState


def contenders(replicates: Replicates, margin: float, gpu_seconds: Mapping[str, float], config: SearchConfig) -> list[str]:
    """Setups worth confirming: the cheapest that is expected to be as good as the best, which would be recommended, then the
    best, which is the bar that a cheaper one has to be shown to reach, then the others by the probability of being as good.
    gpu_seconds: per setup."""
    expected = replicates.as_expected
    best = max(expected.observed, key=lambda s: expected.observed[s])
    within = probability_within_margin(expected, margin)
    first = dict.fromkeys([cheapest_expected(replicates, margin, gpu_seconds), best])
    others = [s for s in within if s not in first and within[s] >= config.plausible_within]
    return [*first, *sorted(others, key=lambda s: (-round(within[s], 3), gpu_seconds[s], s))]


def cheapest_likely(
    replicates: Replicates, margin: float, gpu_seconds: Mapping[str, float], config: SearchConfig
) -> str | None:
    """The cheapest setup that is likely as good as the best, so that a few seeds may show it; None where none is."""
    within = probability_within_margin(replicates.as_expected, margin)
    return min((s for s in within if within[s] >= config.likely_within), key=lambda s: (gpu_seconds[s], s), default=None)


def cheapest_expected(replicates: Replicates, margin: float, gpu_seconds: Mapping[str, float]) -> str:
    """The cheapest setup whose expected quality lies within the margin of the best expected one."""
    expected = replicates.as_expected.observed
    bar = max(expected.values()) - margin
    return min((s for s in expected if expected[s] >= bar), key=lambda s: (gpu_seconds[s], s))


def gpu_seconds_of(state: SearchState, replicates: Replicates) -> dict[str, float]:
    """Per setup the mean over the trials that speak for it."""
    timed = {s: timed_undisturbed([t.measured for t in state.decisive(s)]) for s in replicates.observed}
    return {s: fmean(m.gpu_seconds for m in measurements) for s, measurements in timed.items()}


def confirm_or_stop(state: SearchState, replicates: Replicates | None, criterion: NonInferiority, available: float) -> Action:
    """The next confirmation, or the end: two fresh seeds for a few contenders at a time, then, when all have them and the
    recommendation is not settled, one more for each."""
    if replicates is None:
        return Stop("no setup could be measured")
    running = any(t.role == "confirm" for t in state.running())
    done = Counter(t.setup.id for t in state.trials.values() if t.role == "confirm" and t.status != "failed")
    wanted, most = confirmable(state, replicates, criterion.margin, available, done), state.config.most_confirm_seeds
    fewest = min((done[s] for s in wanted), default=most)
    if running and fewest >= min(CONFIRM_SEEDS, most):
        return Wait()  # its result may settle the matter
    if not running and settled(state, replicates, criterion) is not None:
        only = len(replicates.observed) == 1
        return Stop("only one setup could be paid for" if only else "the recommendation is settled")
    if fewest >= most:
        all_measured = f"{most} seeds of each contender that can be paid are measured"
        return Stop(all_measured if wanted else "the budget pays for no more confirmations")
    setup = state.setup(next(s for s in wanted if done[s] == fewest))
    return Confirm(setup, state.config.first_confirm_seed + done[setup.id])


def confirmable(state: SearchState, replicates: Replicates, margin: float, available: float, done: Counter[str]) -> list[str]:
    """Contenders whose missing confirmations (one more, if none is missing) can all be paid for: the cheapest likely one, in
    its place the first, those begun, the others; of those that still miss some, a few. One that is dearer than another chosen
    or begun one is there to be held against: one will do. None are begun where neither of the first two can be paid: without
    one of them nothing is proven."""
    gpu_seconds = gpu_seconds_of(state, replicates)
    failed = {t.setup.id for t in state.trials.values() if t.role == "confirm" and t.status == "failed"}
    known = contenders(replicates, margin, gpu_seconds, state.config)
    likely = cheapest_likely(replicates, margin, gpu_seconds, state.config)

    def needs(setup_id: str, missing: int) -> float:
        return state.config.safety * missing * state.cost.predict(state.setup(setup_id)).trial_seconds

    def misses(setup_id: str) -> int:
        return max(1, CONFIRM_SEEDS - done[setup_id])

    begun = [s for s in known if done[s]]
    provable = [s for s in (likely, known[0]) if s is not None and needs(s, misses(s)) <= available]
    if not provable and not begun:
        return []
    chosen: list[str] = []
    for setup_id in dict.fromkeys([*provable[:1], *begun, *known]):
        is_bar = any(gpu_seconds[s] < gpu_seconds[setup_id] for s in (*chosen, *begun))
        seconds = needs(setup_id, 1 if is_bar else misses(setup_id))
        if setup_id in failed or seconds > available:
            continue
        if sum(done[s] < CONFIRM_SEEDS for s in chosen) >= state.config.reserved_contenders:
            break
        chosen.append(setup_id)
        available -= seconds
    return chosen


def settled(state: SearchState, replicates: Replicates, criterion: NonInferiority) -> str | None:
    """The cheapest setup that is shown to be as good as the best, if it is cheaper than all that still might be."""
    finished = Counter(t.setup.id for t in state.measured("confirm"))
    shown = shown_as_good(replicates, finished, criterion)
    if not shown:
        return None
    gpu_seconds = gpu_seconds_of(state, replicates)
    cheapest = min(shown, key=lambda s: gpu_seconds[s])
    still = contenders(replicates, criterion.margin, gpu_seconds, state.config)
    open_ones = [s for s in still if s not in shown]
    return cheapest if all(gpu_seconds[s] >= gpu_seconds[cheapest] for s in open_ones) else None
