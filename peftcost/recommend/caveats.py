"""Why a recommendation is not confirmed, however good it looks among what was measured: what was not measured, what was still
learning, and what was measured on a busy machine."""

from __future__ import annotations

from collections.abc import Iterable

from peftcost.core.setup import Setup, method_of
from peftcost.recommend.policies import Caveat
from peftcost.searcher.planner import priors
from peftcost.searcher.references import Curve, Expected, has_begun, rising_at
from peftcost.searcher.state import SearchState
from peftcost.searcher.trial import Trial


def caveats_of(state: SearchState, setup_id: str, margin: float, expected: Expected) -> tuple[Caveat, ...]:
    """Of recommending this setup; none where only its bound decides."""
    setup = state.setup(setup_id)
    found = [unmeasured(state), rising(state, setup, margin, expected), contended(state, setup)]
    return tuple(caveat for caveat in found if caveat is not None)


def unmeasured(state: SearchState) -> Caveat | None:
    """The methods that were asked for, run here, and have no measurement."""
    measured = {trial.setup.arm for trial in state.measured("explore")}
    missing = [arm for arm in state.arms if arm not in measured and arm not in state.infeasible]
    if not missing:
        return None
    first = priors(missing, state.stops[0], state.cost.probes)
    needs = sum(state.cost.predict(setup, dev_rows=state.dev_sample).trial_seconds for setup in first.values())
    verb = "was" if len(missing) == 1 else "were"
    return Caveat(f"{listed(dict.fromkeys(method_of(arm) for arm in missing))} {verb} not measured", needs)


def rising(state: SearchState, recommended: Setup, margin: float, expected: Expected) -> Caveat | None:
    """The references that had not learnt all they can."""
    found = rising_at(state, recommended, margin, expected)
    if not found:
        return None
    begun = [curve_text(state, curve) for curve in found if has_begun(state, curve[-1])]
    late = [curve_text(state, curve) for curve in found if not has_begun(state, curve[-1])]
    told = [f"{listed(begun)} {'was' if len(begun) == 1 else 'were'} still rising"] if begun else []
    told += [f"{listed(late)} had not begun to learn"] if late else []
    return Caveat("; ".join(told), sum(going_on_seconds(state, curve[-1]) for curve in found))


def contended(state: SearchState, recommended: Setup) -> Caveat | None:
    """Costs of a busy machine are too long, so which setup is the cheapest is not known."""
    decisive = [trial.measured for trial in state.decisive(recommended.id)]
    if not all(m.contended for m in decisive):
        return None
    return Caveat("its times were measured while other programs used the processor", decisive[0].gpu_seconds)


def curve_text(state: SearchState, curve: Curve) -> str:
    """The method with its qualities and lengths: "full (.041, .192 after 0.9, 1.8 epochs)"."""
    qualities = ", ".join(f"{trial.measured.quality:.3f}" for trial in curve)
    epochs = ", ".join(f"{trial.setup.stop_examples / state.cost.train_rows:.2g}" for trial in curve)
    return f"{curve[0].setup.arm} ({qualities} after {epochs} epochs)"


def going_on_seconds(state: SearchState, trial: Trial) -> float:
    """gpu-seconds of training it on to twice its length."""
    ahead = trial.setup.until(state.config.stop_factor * trial.setup.stop_examples)
    return state.cost.predict(ahead, trial.setup if trial.has_checkpoint else None, state.dev_sample).trial_seconds


def listed(names: Iterable[str]) -> str:
    """ "a, b and c"."""
    found = list(names)
    return found[0] if len(found) == 1 else f"{', '.join(found[:-1])} and {found[-1]}"
