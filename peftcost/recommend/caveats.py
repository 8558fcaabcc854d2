"""Why a recommendation is not confirmed, however good it looks among what was measured: what was not measured, what was still
learning, and what was measured on a busy machine. Of each, what finding out takes, where going on with the run can."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from peftcost.core.percent import percent
from peftcost.core.setup import Setup, method_of
from peftcost.core.setup_words import setup_words
from peftcost.core.statistics import CONFIRM_SEEDS
from peftcost.recommend.policies import Caveat
from peftcost.searcher.config import SearchConfig
from peftcost.searcher.planner import priors
from peftcost.searcher.references import Curve, Expected, has_begun, rising_at
from peftcost.searcher.state import SearchState
from peftcost.searcher.stops import may_reach_beyond
from peftcost.searcher.trial import Trial


def caveats_of(
    state: SearchState,
    setup_id: str,
    rivals: Collection[str],
    margin: float,
    expected: Expected,
    able: Callable[[Setup], bool] = lambda setup: True,
) -> tuple[Caveat, ...]:
    """Of recommending this setup as the cheapest of these; none where only its bound decides. able: whether a setup could be
    recommended."""
    setup = state.setup(setup_id)
    found = [unmeasured(state, able), *rising(state, setup, margin, expected, able), contended(state, setup, rivals)]
    return tuple(caveat for caveat in found if caveat is not None)


def budget_for(state: SearchState, gpu_seconds: float, fresh_seeds: Mapping[str, int]) -> float:
    """What has to be added to the budget, that so much of it is left for these, whatever else is explored: the test is paid
    again, and shares are kept back for confirming and for parts of the rows. fresh_seeds: by setup."""
    config = state.config
    again = sum(n * state.cost.predict(state.setup(setup_id)).trial_seconds for setup_id, n in fresh_seeds.items())
    explored = (gpu_seconds + state.closing_seconds()) / explored_share(config)
    left_to_confirm = max(config.most_reserved, 1 - config.explore_share) or 1.0  # nothing, where all may be explored
    return config.safety * max(explored, again / left_to_confirm)


def explored_share(config: SearchConfig) -> float:
    """Of a budget, what is not kept back."""
    return 1 - config.most_reserved - config.parts_share


def unmeasured(state: SearchState, able: Callable[[Setup], bool]) -> Caveat | None:
    """The methods that were asked for, run here, and have no measurement."""
    measured = {trial.setup.arm for trial in state.measured("explore")}
    lacking = [arm for arm in state.arms if arm not in measured and arm not in state.infeasible]
    first = {arm: setup for arm, setup in priors(lacking, state.stops[0], state.cost.probes).items() if able(setup)}
    missing = list(first)
    if not missing:
        return None
    needs = sum(state.cost.predict(setup, dev_rows=state.dev_sample).trial_seconds for setup in first.values())
    verb = "was" if len(missing) == 1 else "were"
    known = {method_of(arm) for arm in measured}
    names = dict.fromkeys(arm if method_of(arm) in known else method_of(arm) for arm in missing)
    return Caveat(f"{listed(names)} {verb} not measured", needs)


def rising(
    state: SearchState, recommended: Setup, margin: float, expected: Expected, able: Callable[[Setup], bool]
) -> list[Caveat]:
    """The references that had not learnt all they can: those that may go on, and those that no budget trains for longer."""
    found = [curve for curve in rising_at(state, recommended, margin, expected) if able(going_on(state, curve[-1]))]
    on = [curve for curve in found if goes_on(state, curve[-1])]
    ended = [curve for curve in found if curve not in on]
    told = []
    if on:
        told.append(Caveat(rising_text(state, on), sum(going_on_seconds(state, curve[-1]) for curve in on)))
    if ended:
        names, most = listed(curve[0].setup.arm for curve in ended), state.stops[-1] / state.cost.train_rows
        remedy = f"No budget of this run tells where {names} would end: it trains nothing beyond {most:.2g} epochs."
        told.append(Caveat(rising_text(state, ended), None, remedy))
    return told


def rising_text(state: SearchState, curves: Sequence[Curve]) -> str:
    """What the curves are like, as far as there are any."""
    late = [curve for curve in curves if not has_begun(state, curve[-1])]
    short = [curve for curve in curves if len(curve) == 1 and curve not in late]
    risen = [curve for curve in curves if curve not in (*late, *short)]
    said = (("{was} still rising", risen), ("{was} measured at one length only", short), ("had not begun to learn", late))
    return "; ".join(
        f"{listed(curve_text(state, curve) for curve in own)} {what.format(was='was' if len(own) == 1 else 'were')}"
        for what, own in said
        if own
    )


def goes_on(state: SearchState, trial: Trial) -> bool:
    """Whether there is a longer stop, or more budget may add one."""
    longest = state.stops[-1]
    return trial.setup.stop_examples < longest or may_reach_beyond(longest, state.cost.train_rows, state.config)


def overtaken(state: SearchState, margin: float, limited: bool = False) -> Caveat | None:
    """Being as good as the best that was tried says little while the same budget again is likely to find something better.
    limited: where constraints are to be met, of which that chance knows nothing."""
    config, limit = state.config, state.limit_gpu_seconds
    if state.better_chance < config.overtaken_chance:
        return None
    explored = explored_share(config) * limit / config.safety - state.closing_seconds()  # as `budget_for` counts
    chance = percent(state.better_chance)
    what = "something better, whatever it takes," if limited else "something better"
    text = f"twice the budget would find {what} by more than {margin:g} with a chance of {chance}"
    return Caveat(text, max(0.0, explored))


def contended(state: SearchState, recommended: Setup, rivals: Collection[str]) -> Caveat | None:
    """Costs of a busy machine are too long, so which setup is the cheapest is not known: where the recommended one's are
    such, or those of one that may be cheaper in truth. Going on times again what was not trained with fresh seeds yet."""
    predicted = state.config.safety * state.cost.predict(recommended).gpu_seconds
    cheaper = [s for s in map(state.setup, rivals) if s != recommended and state.cost.predict(s).gpu_seconds < predicted]
    busy = [setup for setup in (recommended, *cheaper) if all(t.measured.contended for t in state.decisive(setup.id))]
    if not busy:
        return None
    names = [setup_words(s.method, s.hyperparameters, s.stop_examples) for s in busy]
    whose = "the recommended setup's times were" if busy == [recommended] else f"the times of {listed(names)} were"
    text = f"{whose} measured while other programs used the processor"
    if any(sum(t.role == "confirm" for t in state.decisive(setup.id)) >= CONFIRM_SEEDS for setup in busy):
        return Caveat(text, None, "This run does not time it again: a search on a machine that is not busy would tell.")
    return Caveat(text, sum(state.cost.predict(setup).trial_seconds for setup in busy))


def curve_text(state: SearchState, curve: Curve) -> str:
    """The method with its qualities and lengths: "full (.041, .192 after 0.9, 1.8 epochs)"."""
    qualities = ", ".join(f"{trial.measured.quality:.3f}" for trial in curve)
    epochs = ", ".join(f"{trial.setup.stop_examples / state.cost.train_rows:.2g}" for trial in curve)
    return f"{curve[0].setup.arm} ({qualities} after {epochs} epochs)"


def going_on(state: SearchState, trial: Trial) -> Setup:
    """The same for twice its length."""
    return trial.setup.until(state.config.stop_factor * trial.setup.stop_examples)


def going_on_seconds(state: SearchState, trial: Trial) -> float:
    """gpu-seconds of training it on to twice its length."""
    parent = trial.setup if trial.has_checkpoint else None
    return state.cost.predict(going_on(state, trial), parent, state.dev_sample).trial_seconds


def listed(names: Iterable[str]) -> str:
    """ "a, b and c"."""
    found = list(names)
    return found[0] if len(found) == 1 else f"{', '.join(found[:-1])} and {found[-1]}"
