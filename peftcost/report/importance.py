"""Which choices mattered: how much of the differences in quality each choice explains, by Optuna's fANOVA."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from peftcost.report.choices import Entry, all_choices

FEWEST = 10
"""Setups; of fewer, nobody can say what mattered."""
MOST = 200
"""Setups that are looked at: more tell no more, and take long."""
TREES = 24
SHOWN = 6
ALL = "all methods"


@dataclass(frozen=True)
class Importance:
    """shares: (choice, share of the variance), largest first."""

    method: str
    setups: int
    shares: list[tuple[str, float]]


def importances(result: Mapping[str, Any]) -> list[Importance]:
    """Over all methods, then for each that has enough setups."""
    measured = [entry for entry in result["setups"] if entry["status"] == "measured"]
    groups = {ALL: measured}
    for entry in measured:
        groups.setdefault(entry["method"], []).append(entry)
    if len(groups) == 2:
        del groups[ALL]
    return [found for name, own in groups.items() if (found := importance(name, own)) is not None]


def importance(name: str, entries: Sequence[Entry]) -> Importance | None:
    """None where there are too few setups, no choices that differ, or no differences in quality."""
    entries = entries[:: max(1, -(-len(entries) // MOST))]
    choices = {"method": [e["method"] for e in entries]} if name == ALL else {}
    shared = set.intersection(*(set(all_choices(e)) for e in entries)) if entries else set()
    choices |= (
        {key: [all_choices(e)[key] for e in entries] for key in all_choices(entries[0]) if key in shared} if entries else {}
    )
    varied = {key: values for key, values in choices.items() if len({repr(v) for v in values}) > 1}
    qualities = [e["quality"] for e in entries]
    if len(entries) < FEWEST or not varied or len(set(qualities)) == 1:
        return None
    shares = evaluate(varied, qualities)
    told = [(key.replace("_", " "), share) for key, share in sorted(shares.items(), key=lambda item: -item[1])]
    return Importance(name, len(entries), told[:SHOWN])


def evaluate(choices: Mapping[str, Sequence[Any]], qualities: Sequence[float]) -> dict[str, float]:
    """Each choice's share, by Optuna."""
    import optuna
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    from peftcost.store.study import quiet_optuna

    with quiet_optuna():
        study = optuna.create_study(direction="maximize")
        spaces = {key: distribution(values) for key, values in choices.items()}
        study.add_trials(
            [
                optuna.trial.create_trial(
                    params={key: spelled(values[i], spaces[key]) for key, values in choices.items()},
                    distributions=dict(spaces),
                    value=quality,
                )
                for i, quality in enumerate(qualities)
            ]
        )
        return get_param_importances(study, evaluator=FanovaImportanceEvaluator(n_trees=TREES, seed=0))


def distribution(values: Sequence[Any]) -> Any:
    """Optuna's distribution of numbers (on a log scale where they are positive), else of categories."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    if all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
        low, high = float(min(values)), float(max(values))
        return FloatDistribution(low, high, log=low > 0)
    return CategoricalDistribution(tuple(dict.fromkeys(str(v) for v in values)))


def spelled(value: Any, space: Any) -> Any:
    from optuna.distributions import CategoricalDistribution

    return str(value) if isinstance(space, CategoricalDistribution) else float(value)
