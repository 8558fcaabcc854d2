"""From evidence to a recommendation. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from peftcost.core.budget import format_seconds
from peftcost.core.memory import format_bytes
from peftcost.core.statistics import (
    ALPHA,
    CONFIRM_SEEDS,
    MOST_CONFIRM_SEEDS,
    NonInferiority,
    Replicates,
    comparators,
    probability_within_margin,
    quality_interval,
    resolvable_difference,
    shown_as_good,
)
from peftcost.errors import UserError, did_you_mean

DEFAULT_POLICY = "non-inferior"
LIKELY = 0.8
"""Of the probability of being as good as the best: below this it is no more than a guess."""
NAMED = "named"
"""In the place of a policy, where the user has named the setup."""
CHEAPER = 0.95
"""Of a cost; what lies between costs the same, as far as can be timed."""


@dataclass(frozen=True)
class Evidence:
    """What is known of a measured setup. quality: what is expected of it, all readings taken together; confirm_seeds: how
    many fresh seeds it was trained again with; words: its choices."""

    id: str
    quality: float
    gpu_seconds: float
    peak_bytes: int
    confirm_seeds: int
    words: str = ""

    @property
    def name(self) -> str:
        """Its choices, with its hash behind; the hash alone where they are not known."""
        return f"{self.words} [{self.id}]" if self.words else self.id


@dataclass(frozen=True)
class Caveat:
    """Why a recommendation is not confirmed, however good the setup is among what was measured. gpu_seconds: what finding out
    takes; None where going on with the run cannot find out, and remedy is a sentence that says so, and what can."""

    text: str
    gpu_seconds: float | None
    remedy: str = ""


CaveatsOf = Callable[[str, Collection[str]], tuple[Caveat, ...]]
"""(the setup that is recommended, those that it was the cheapest of) -> what stands against it."""
BudgetFor = Callable[[float, Mapping[str, int]], float]
"""(gpu-seconds of what the caveats ask for, fresh seeds by setup) -> what has to be added to the budget for both."""


@dataclass(frozen=True)
class Recommendation:
    """A setup chosen by a policy, with its evidence; the fields of result.json's `recommendation`.

    limited: chosen among those that meet constraints, of which "the best" is the best, too; alone: the only one of these.
    shown: to be within the margin of the best that was measured. confirmed: shown, and nothing stands against it.
    best: the best expected. next_better: the cheapest of better quality; next_cheaper: the best of those that cost at least
    a twentieth less. None where there is none. caveats: with any of them nothing is confirmed. more_gpu_seconds: what would
    tell, as far as a larger budget can; None where it is confirmed, and where no budget tells.
    """

    id: str
    best: str
    policy: str
    margin: float
    confidence: float
    because: str
    confirmed: bool
    quality: float
    quality_interval: tuple[float, float]
    gpu_seconds: float
    peak_bytes: int
    probability_within_margin: float
    resolvable_difference: float
    next_better: str | None = None
    next_cheaper: str | None = None
    caveats: tuple[Caveat, ...] = ()
    more_gpu_seconds: float | None = None
    shown: bool = False
    limited: bool = False
    alone: bool = False


def recommend(
    evidence: Sequence[Evidence],
    replicates: Replicates,
    criterion: NonInferiority,
    policy: str = DEFAULT_POLICY,
    n_dev: int | None = None,
    min_quality: float | None = None,
    max_memory_bytes: float | None = None,
    max_gpu_seconds: float | None = None,
    named: str | None = None,
    caveats_of: CaveatsOf = lambda setup_id, rivals: (),
    overtaken: Callable[[bool], Caveat | None] = lambda limited: None,
    budget_for: BudgetFor = lambda gpu_seconds, fresh_seeds: gpu_seconds,
) -> Recommendation:
    """Choose among the setups that meet the constraints; "the best" is the best of these. UserError if none does.

    A setup is compared with its `comparators` (peftcost.core.statistics). named: the id of the one to choose, whatever the
    policy; UserError where it does not meet the constraints. caveats_of: the caveats of recommending a setup, unless that is
    clearly worse than the best anyway. overtaken: the caveat of what would be confirmed without it, by whether there are
    constraints. budget_for: what going on takes.

    non-inferior: the cheapest shown to be within the margin of the best, else the cheapest expected to be. best-quality: the
    best expected. cheapest: the lowest cost. lowest-memory: as non-inferior, with the least memory. knee: farthest above the
    chord from cheapest to best, quality against log cost.
    """
    if policy not in POLICIES:
        raise UserError(
            f"There is no policy {policy!r}.{did_you_mean(policy, list(POLICIES))} Known are: {', '.join(POLICIES)}."
        )
    limits = (min_quality, max_memory_bytes, max_gpu_seconds)
    limited = limits != (None, None, None)
    allowed = [e for e in evidence if excess(e, *limits) == 0]
    alone = len(allowed) == 1
    wanted = [e for e in evidence if named in (None, e.id)]
    if not any(e in allowed for e in wanted):
        raise UserError(nothing_fits(wanted, named is not None, *limits))
    margin = criterion.margin
    told = replicates.only(e.id for e in allowed)
    fresh_seeds = {e.id: e.confirm_seeds for e in allowed}
    as_good = shown_as_good(told, fresh_seeds, criterion)
    shown = [e for e in allowed if e.id in as_good]
    best = max(allowed, key=lambda e: e.quality)
    as_expected = [e for e in allowed if e.quality >= best.quality - margin]
    as_good_as_best = shown or as_expected
    chosen = POLICIES[policy](allowed, as_good_as_best, best) if named is None else wanted[0]
    expected = told.as_expected.only({*comparators(told, fresh_seeds), chosen.id})
    resolvable = resolvable_difference(expected, chosen.id, criterion.alpha)
    probability = probability_within_margin(expected, margin)[chosen.id]
    rivals = as_good_as_best if named is None and policy == DEFAULT_POLICY else []
    caveats = caveats_of(chosen.id, [rival.id for rival in rivals]) if probability >= ALPHA else ()
    is_shown = chosen in shown and len(expected.values) > 1  # a setup alone has nothing to be as good as
    likely_overtaken = overtaken(limited) if is_shown and not caveats else None
    if likely_overtaken is not None:
        caveats = (likely_overtaken,)
    confirmed = is_shown and not caveats
    if is_shown:
        verdict = (
            f"With {chosen.confirm_seeds} fresh seeds it is shown to be within {margin:g} of "
            f"{the_best_measured(limited)} ({criterion.confidence:.0%} confidence)."
        )
    elif alone:
        only = "that was measured" if len(evidence) == 1 else "measured that meets the constraints"
        verdict = f"It is the only setup {only}, so there is nothing to compare it with."
    elif probability < ALPHA:
        verdict = f"{too_poor(margin, limited)}."
    else:
        rows = f"at {n_dev} dev rows" if n_dev else "with this dev set"
        need = what_it_takes(margin, resolvable, n_dev, chosen.confirm_seeds, best.quality - chosen.quality)
        if probability >= LIKELY:
            verdict = f"It is likely within {margin:g} of {the_best(limited)}, but that is not shown {rows}. {need}"
        else:
            verdict = f"Whether it is within {margin:g} of {the_best(limited)} cannot be told {rows}. {need}"
    doubt = [] if confirmed else [not_confirmed([caveat.text for caveat in caveats])]
    needs = [caveat.gpu_seconds for caveat in caveats if caveat.gpu_seconds is not None]
    is_open = not (is_shown or alone) and probability >= ALPHA and seeds_tell(margin, resolvable, chosen.confirm_seeds)
    return Recommendation(
        id=chosen.id,
        best=best.id,
        policy=policy if named is None else NAMED,
        margin=margin,
        confidence=criterion.confidence,
        because=" ".join([*doubt, what_it_reaches(chosen, best, limited), verdict]),
        confirmed=confirmed,
        quality=chosen.quality,
        quality_interval=quality_interval(replicates, chosen.id),
        gpu_seconds=chosen.gpu_seconds,
        peak_bytes=chosen.peak_bytes,
        probability_within_margin=probability,
        resolvable_difference=resolvable,
        next_better=min(((e.gpu_seconds, e.id) for e in allowed if e.quality > chosen.quality), default=(0, None))[1],
        next_cheaper=max(
            ((e.quality, e.id) for e in allowed if e.gpu_seconds < CHEAPER * chosen.gpu_seconds), default=(0, None)
        )[1],
        caveats=caveats,
        more_gpu_seconds=budget_for(sum(needs), seeds_again(chosen, best)) if needs or is_open else None,
        shown=is_shown,
        limited=limited,
        alone=alone,
    )


def knee(allowed: Sequence[Evidence], best: Evidence) -> Evidence:
    """Farthest above the chord from the cheapest to the best."""
    cheapest = min(allowed, key=lambda e: e.gpu_seconds)
    width = max(0.0, math.log(best.gpu_seconds / cheapest.gpu_seconds)) or 1.0
    height = max(0.0, best.quality - cheapest.quality) or 1.0

    def above_chord(e: Evidence) -> float:
        return (e.quality - cheapest.quality) / height - math.log(e.gpu_seconds / cheapest.gpu_seconds) / width

    return max((e for e in allowed if e.gpu_seconds <= best.gpu_seconds), key=above_chord)


POLICIES: dict[str, Callable[[Sequence[Evidence], Sequence[Evidence], Evidence], Evidence]] = {
    DEFAULT_POLICY: lambda allowed, as_good, best: min(as_good, key=lambda e: e.gpu_seconds),
    "best-quality": lambda allowed, as_good, best: best,
    "cheapest": lambda allowed, as_good, best: min(allowed, key=lambda e: e.gpu_seconds),
    "lowest-memory": lambda allowed, as_good, best: min(as_good, key=lambda e: e.peak_bytes),
    "knee": lambda allowed, as_good, best: knee(allowed, best),
}
"""(those that meet the constraints, of these those that are as good as the best, the best) -> the choice."""


def seeds_again(chosen: Evidence, best: Evidence) -> dict[str, int]:
    """Fresh seeds that are still wanted of what is recommended, and of what it is held against."""
    return {e.id: max(CONFIRM_SEEDS - e.confirm_seeds, 1) for e in (chosen, best)}


def not_confirmed(caveats: Sequence[str]) -> str:
    """What comes before all else that is said of such advice: what stands against it."""
    return f"Not confirmed: {'; '.join(caveats)}." if caveats else "Not confirmed."


def sentence(text: str) -> str:
    """With a capital and a full stop."""
    return f"{text[0].upper()}{text[1:]}."


def the_best(limited: bool) -> str:
    """What a choice is compared with, in words."""
    return "the best that meets the constraints" if limited else "the best"


def the_best_measured(limited: bool) -> str:
    """The same, where what was not measured may be better."""
    return the_best(limited) if limited else "the best that was measured"


def what_it_reaches(chosen: Evidence, best: Evidence, limited: bool) -> str:
    """Quality, cost and memory of the choice in one sentence, beside those of the best expected."""
    cost = f"{chosen.quality:.3f} at {format_seconds(chosen.gpu_seconds)} and {format_bytes(chosen.peak_bytes)}"
    if chosen.id == best.id:
        return f"{chosen.name} is expected to be {the_best(limited)}: {cost}."
    share = chosen.gpu_seconds / best.gpu_seconds
    saving = f", so this one takes {share:.0%} of its cost" if share < 1 else ""
    return (
        f"{chosen.name} reaches {cost}; {the_best(limited)}, {best.name}, reaches {best.quality:.3f} at "
        f"{format_seconds(best.gpu_seconds)}{saving}."
    )


def too_poor(margin: float, limited: bool) -> str:
    """Of a choice that is hardly within the margin of the best."""
    return f"It is worse than {the_best(limited)} by more than {margin:g}, as far as can be told"


def what_it_takes(margin: float, resolvable: float, n_dev: int | None, confirm_seeds: int, below_best: float) -> str:
    """What would turn "cannot tell" into an answer. Noise falls with the root of rows and of seeds. below_best: how far the
    choice is expected to lie below the best."""
    if confirm_seeds < CONFIRM_SEEDS:
        return f"It needs {CONFIRM_SEEDS} confirmations with fresh seeds; a larger budget pays for them."
    if not seeds_tell(margin, resolvable, confirm_seeds):
        wider = f", or a margin of {resolvable:.3f}" if resolvable > margin else ""
        return f"No search trains so many fresh seeds that they would tell: it would take more dev rows{wider}."
    if resolvable <= margin:
        loss = math.ceil(1000 * (below_best + resolvable)) / 1000
        return (
            f"Held against all its rivals at once, a loss of up to {loss:.3f} is not excluded: "
            "more fresh seeds, or a larger budget that tries more setups, would tell."
        )
    factor = (resolvable / margin) ** 2
    rows = f"about {math.ceil(factor * n_dev / 100) * 100:,} dev rows" if n_dev else f"{factor:.1f} times the dev rows"
    return f"It would take {rows} and {math.ceil(factor * confirm_seeds)} fresh seeds, or a margin of {resolvable:.3f}."


def seeds_tell(margin: float, resolvable: float, confirm_seeds: int) -> bool:
    """Whether as many fresh seeds as a search trains may tell a setup from the best."""
    if confirm_seeds < CONFIRM_SEEDS:
        return True
    return confirm_seeds < MOST_CONFIRM_SEEDS and (resolvable / margin) ** 2 * confirm_seeds <= MOST_CONFIRM_SEEDS


def excess(e: Evidence, min_quality: float | None, max_memory_bytes: float | None, max_gpu_seconds: float | None) -> float:
    """By what share a setup misses the constraint that it misses most; 0.0 when it meets all."""
    misses = [0.0]
    if min_quality is not None and not e.quality >= min_quality:
        misses.append((min_quality - e.quality) / (abs(min_quality) or 1.0))
    for value, limit in ((e.peak_bytes, max_memory_bytes), (e.gpu_seconds, max_gpu_seconds)):
        if limit is not None and value > limit:
            misses.append(value / limit - 1 if limit > 0 else math.inf)
    return max(misses)


def nothing_fits(
    evidence: Sequence[Evidence],
    is_named: bool,
    min_quality: float | None,
    max_memory_bytes: float | None,
    max_gpu_seconds: float | None,
) -> str:
    """The sentence for constraints that no setup meets, or not the one that was named: what was asked, and the setup that
    misses it least."""
    asked = []
    if min_quality is not None:
        asked.append(f"quality of at least {min_quality:g}")
    if max_memory_bytes is not None:
        asked.append(f"at most {format_bytes(max_memory_bytes)}")
    if max_gpu_seconds is not None:
        asked.append(f"at most {max_gpu_seconds:g} gpu-s")
    near = min(evidence, key=lambda e: excess(e, min_quality, max_memory_bytes, max_gpu_seconds))
    facts = f"quality {near.quality:.3f}, {format_bytes(near.peak_bytes)} and {near.gpu_seconds:.1f} gpu-s"
    if is_named:
        return f"{near.name} does not have {' and '.join(asked)}: it has {facts}. Loosen a constraint, or name another setup."
    return f"No measured setup has {' and '.join(asked)}; the nearest is {near.name} with {facts}. Loosen a constraint."
