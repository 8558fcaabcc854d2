"""What a search that has ended advises, and what the same budget again would likely bring."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from peftcost.core.setup import Setup
from peftcost.core.statistics import NonInferiority, Replicates
from peftcost.recommend.caveats import budget_for, caveats_of, overtaken
from peftcost.recommend.policies import DEFAULT_POLICY, Recommendation, recommend
from peftcost.recommend.result import evidence_of
from peftcost.recommend.schema import SetupResult
from peftcost.searcher.explore import Suggest
from peftcost.searcher.forecast import BudgetForecast, forecast
from peftcost.searcher.state import SearchState


def advise(
    state: SearchState,
    entries: Sequence[Mapping[str, Any]],
    evidence: Replicates,
    criterion: NonInferiority,
    dev_rows: int,
    suggest: Suggest,
) -> tuple[Recommendation, BudgetForecast | None]:
    """entries: as in result.json; suggest: what else could be begun."""
    setups = [SetupResult.model_validate(entry) for entry in entries]
    advised = recommend_of(state, setups, evidence, criterion, dev_rows)
    return advised, twice_the_budget(state, advised, suggest, criterion.margin)


def recommend_of(
    state: SearchState,
    setups: Iterable[SetupResult],
    replicates: Replicates,
    criterion: NonInferiority,
    dev_rows: int,
    policy: str = DEFAULT_POLICY,
    **constraints: Any,
) -> Recommendation:
    """`recommend`, with what the search knows: what stands against it, and what a larger budget needs to tell. constraints:
    as `recommend` has them; what cannot meet them stands against nothing."""
    able = partial(meets, state, constraints.get("max_memory_bytes"), constraints.get("max_gpu_seconds"))
    return recommend(
        evidence_of(setups),
        replicates,
        criterion,
        policy,
        dev_rows,
        **constraints,
        caveats_of=partial(caveats_of, state, margin=criterion.margin, expected=replicates.as_expected.observed, able=able),
        overtaken=partial(overtaken, state, criterion.margin),
        budget_for=partial(budget_for, state),
    )


def meets(state: SearchState, max_memory_bytes: float | None, max_gpu_seconds: float | None, setup: Setup) -> bool:
    """Whether the setup is expected to meet these constraints."""
    expected = state.cost.predict(setup)
    fits = max_memory_bytes is None or expected.peak_bytes <= max_memory_bytes
    return fits and (max_gpu_seconds is None or expected.gpu_seconds <= max_gpu_seconds)


def twice_the_budget(state: SearchState, advised: Recommendation, suggest: Suggest, margin: float) -> BudgetForecast | None:
    """What the same budget again may bring; None where that has no ground: what was measured says nothing of a method that
    was not, of a reference that is rising or of true costs, nor of anything where all that could go on has gone on."""
    if any(caveat != overtaken(state, margin) for caveat in advised.caveats):
        return None
    more = forecast(state, suggest, margin, state.setup(advised.id), state.limit_gpu_seconds)
    return None if more.action is None else more
