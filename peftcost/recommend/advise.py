"""What a search that has ended advises, and what the same budget again would likely bring."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from peftcost.core.statistics import NonInferiority, Replicates
from peftcost.recommend.caveats import caveats_of
from peftcost.recommend.policies import Recommendation, recommend
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
) -> tuple[Recommendation, BudgetForecast]:
    """entries: as in result.json; suggest: what else could be begun."""
    caveats = partial(caveats_of, state, margin=criterion.margin, expected=evidence.as_expected.observed)
    of_setups = evidence_of(SetupResult.model_validate(entry) for entry in entries)
    advised = recommend(of_setups, evidence, criterion, n_dev=dev_rows, caveats_of=caveats)
    return advised, forecast(state, suggest, criterion.margin, state.setup(advised.id), state.limit_gpu_seconds)
