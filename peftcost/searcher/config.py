"""Every number that the search decides by.

`SearchState.config` holds the numbers of a run. The journal's `planned` event records them, so a run that is resumed, even by
a later version, decides by the numbers that it began with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from peftcost.core.statistics import MOST_CONFIRM_SEEDS


@dataclass(frozen=True)
class SearchConfig:
    """Each field says why it is there and where its value comes from. A value without a source was set by hand, and no
    experiment varies it. "Left" is what remains of the budget, closing costs and running trials taken off."""

    # -- lengths (stops.py, planner.py) ------------------------------------------------------------------------------
    epochs: tuple[float, ...] = (1 / 16, 1 / 8, 1 / 4, 3 / 8, 1 / 2, 5 / 8, 3 / 4, 7 / 8, 1.0, 1.25, 1.5, 2.0, 3.0)
    """The longest stop that all references can be paid for is one of these, as far as the budget goes."""
    most_epochs: float = 6.0
    """No stop lies beyond. Small tasks flatten late: on 700 rows of WNUT-16 full fine-tuning learns most after the third
    epoch."""
    stop_factor: int = 2
    """Each stop is so many times as long as the one before (successive halving, Jamieson and Talwalkar 2016)."""
    most_stops: int = 3
    """Stops that all references can be paid for. With one alone the front reaches .54 to .58 of the hypervolume in place
    of .92 to .94 (docs/benchmarks/search.md, "without stops")."""
    most_stops_beyond: int = 3
    """Further stops, which not every reference can be paid for to reach: whatever is worth it may."""
    fewest_steps: int = 20
    """Optimizer steps of the first stop, at least: after fewer a reading says little."""
    safety: float = 1.1
    """Predictions are taken this much dearer, since it must hold (docs/benchmarks/search.md,
    "Does it keep to its budget?")."""
    probe_examples: int = 1600
    """The length that a probe pretends to train for. Only methods with a fixed horizon look at it."""
    explore_dev_rows: int = 500
    """Exploring predicts a sample of dev when dev is larger. Contenders are judged on all of it."""

    planning_share: float = 0.1
    """Of the budget: probing ends when one more probe would take it beyond. Methods that are left are thought to be as dear
    as the dearest that was probed, until they are trained."""

    # -- what goes first (decide.py) ---------------------------------------------------------------------------------
    opening_share: float = 0.3
    """A reference goes first where that takes no more than this of what is left, or nothing was tried; elsewhere it competes.
    At 0 only the first reference goes first (docs/benchmarks/search.md, "full and LoRA compete for their first stop,
    too"). At .12 a search of two minutes ended without full and LoRA (correlation .46 on ratings of snippets; at .3
    LoRA's .71)."""
    first_share: float = 0.2
    """The methods' prior-best setups that were not begun yet are measured before any is explored further where together they
    take no more than this of the budget. Elsewhere only the references' are, and the others' compete. At .4 what is left of
    such a budget is too little for the dear ones to learn (docs/benchmarks/search.md, "Each method first")."""
    begin_share: float = 0.5
    """A reference that has not begun to learn goes on before anything is explored where that takes no more than this of what
    is left; elsewhere it competes."""
    begun_share: float = 0.2
    """A reference has begun to learn when it is better than the simplest baseline by so much of what the best reading is."""
    recipe_share: float = 0.25
    """A recipe's setup goes on to the recipe's length where that takes no more than this of what is left; elsewhere it
    competes."""
    most_prior_setups: int = 3
    """Setups of one method that are taken over from recipes and earlier runs (planner.py)."""

    # -- exploring (decide.py, explore.py) ---------------------------------------------------------------------------
    explore_share: float = 0.75
    """Of the budget, or of what was added to it: exploring ends here at the latest."""
    negligible_gain: float = 0.005
    """Exploring is over when what is left to spend on it would add less than this share of the hypervolume."""
    cost_exponent: float = 0.5
    """A candidate is worth gain / gpu_seconds ** cost_exponent. At 0 (the gain alone) the front is worse where costs lie far
    apart, at 1 (the gain per gpu-second) where they do not (docs/benchmarks/search.md, "without costs" and
    "with costs in full")."""
    reference_factor: float = 3.0
    """The hypervolume's reference point lies this factor beyond the dearest setup, so that the best quality counts at
    whatever cost."""
    top_margins: int = 5
    """How deep the top of the front is, in margins. The recommendation is made there, so half of a gain is counted there."""
    most_lineages: int = 50
    """Of the lineages that wait at one stop, the best that are looked at: a decision has to stay quick
    (docs/benchmarks/search.md, "Scale")."""
    rising_chance: float = 0.5
    """A reference is trained on before anything is confirmed, and nothing is called confirmed, while it is at least so likely
    that this lifts the reference above the recommended setup by more than the margin."""
    shorter_rising_chance: float = 0.25
    """The same, once something is trained again to confirm it, for a reference that was trained for less than the recommended
    setup. (Full read .66, .68 at .75, 1.5 epochs of 1,000 tweets and .72 at six; .69 of a frozen base was confirmed.)"""
    explore_again_chance: float = 0.05
    """When confirming is over, exploring goes on while the chance that the rest of the budget changes the recommendation is
    not below this (docs/benchmarks/search.md, "without going back to exploring")."""

    # -- the surrogate's prior (surrogate.py): standard deviations of its terms, at scale 1 ----------------------------
    expected_gain: float = 0.03
    """What a doubling of the length is expected to bring, before anything was seen."""
    common_deviation: float = 0.3
    """Of the level that all setups share: next to nothing is known of a task beforehand."""
    common_gain_deviation: float = 0.03
    """Of the gain per doubling that all setups share: as large as the gain that is expected."""
    base_deviation: float = 0.06
    """Of a base's level, where there are several."""
    base_gain_deviation: float = 0.03
    """Of a base's gain per doubling, where there are several."""
    method_deviation: float = 0.04
    """Of a method's level at the longest stop."""
    method_gain_deviation: float = 0.03
    """Of a method's gain per doubling: some methods learn late."""
    choices_deviation: float = 0.05
    """Of a setup's own level, given its method's."""
    choices_gain_deviation: float = 0.02
    """Of a setup's own gain per doubling, given its method's."""
    scales: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0)
    """How far the setups of a task differ, times the deviations above but the common level's: the most likely of these."""
    near_distance: float = 0.7
    """Distance of choices at which setups share e^(-1/2) of what is theirs: the length of a squared exponential kernel."""
    own_noises: tuple[float, ...] = (0.0075, 0.015, 0.03)
    """Deviation of the best one's readings that no sample explains, between seeds and from stop to stop: as likely as each
    is. At the top of the recorded tables seeds deviate by .011 to .014 (docs/benchmarks/table.md, "own")."""
    common_seed_share: float = 0.6
    """What a seed does to all setups alike, as a share of what it does to each: the first deviates by .010, the second by
    .017 on average over the stops of the recorded tables."""
    astray_deviations: float = 4.0
    """A fresh seed that differs from what was expected by more tells nothing of what seeds do to all setups alike: one whose
    training collapsed (.94 to .24) would have lowered what is expected of all that only exploring has measured."""
    unsettled_readings: float = 0.25
    """By so much more, per quality that a setup lies below the best, does its reading err: it may still take off, or
    diverge. At least `unsettled_seeds`, since a setup is also not what its neighbours and its earlier stops say."""
    own_sample_share: float = 0.3
    """Of the variance of a quality read on a sample: what is not common to all setups read on the same one."""
    most_readings: int = 300
    """Readings that are looked at, the best: what is poor no longer matters, and time grows with the cube."""

    # -- proposals (proposals.py) ------------------------------------------------------------------------------------
    neighbour_trials: int = 4
    """Until an arm has so many setups, the neighbours of its prior-best one are proposed, too."""
    neighbour_factors: tuple[float, ...] = (1 / 3, 3.0)
    """Times the prior-best rate: the neighbours' rates, as in a grid that people would lay out."""
    proposals_per_arm: int = 6
    """Quasi-random points of an arm that the surrogate compares."""

    # -- what is kept back for confirmation (decide.py, confirm.py) --------------------------------------------------
    reserved_contenders: int = 2
    """For how many setups the budget keeps confirmation back, and how many are confirmed side by side: one, and one that it
    is held against. When one is settled another takes its place. With four side by side nothing is better
    (docs/benchmarks/search.md, "Two at a time")."""
    most_reserved: float = 0.35
    """Of the budget: no more is kept back for confirmation."""
    least_reserved: float = 0.12
    """In place of `most_reserved` while something better is likely to be found, see `overtaken_chance`."""
    overtaken_chance: float = 0.15
    """The chance that exploring on finds something better than all that was measured, by more than the margin, at which
    confirming first would be a waste; of the same budget again, at which nothing is called confirmed
    (docs/benchmarks/search.md, "Confirmed, and overtaken")."""

    # -- confirming (confirm.py, spec.py) ------------------------------------------------------------------------
    most_confirm_seeds: int = MOST_CONFIRM_SEEDS
    """Fresh seeds of a contender. More than three change the advice little (docs/benchmarks/search.md,
    "Is the advice true?")."""
    first_confirm_seed: int = 1001
    """Fresh seeds begin here. A user's seed lies below, so that none is used twice."""
    plausible_within: float = 0.05
    """A setup whose probability of being within the margin of the best is below this is no contender."""
    likely_within: float = 0.95
    """The cheapest setup with at least this probability is confirmed first. The cheapest that is merely expected to be there
    mostly lies near the margin's end, where no few seeds show it (docs/benchmarks/search.md, "The demo")."""
    confidences: tuple[float, float] = (0.5, 0.99)
    """What a user may ask for. Below, "shown" would mean nothing; above, so rare a loss is not seen among the replicates."""

    # -- what more rows would bring (parts.py) -----------------------------------------------------------------------
    parts_share: float = 0.05
    """Of the budget: to train the recommended setup on parts of the rows too may take no more."""
    fewest_part_rows: int = 50
    """On fewer rows a training says next to nothing."""

    # -- what the measurements say (evidence.py, forecast.py) -------------------------------------------------------
    replicates: int = 2000
    """Bootstrap replicates: a bound at 5 % rests on 100 of them, at 1 % on 20."""
    most_compared: int = 200
    """Setups whose qualities are resampled after each result, the best. The recommendation compares all."""
    unsettled_seeds: float = 0.1
    """By so much more, per quality that a setup lies below the best, do its seeds deviate (docs/benchmarks/table.md)."""
    forecast_draws: int = 1000
    """Draws of what is measured and what could be tried: a chance of 5 % errs by 0.7 %."""
    cheaper_share: float = 0.9
    """A setup that takes less than this share of the recommended one's cost is worth a change."""

    def as_dict(self) -> dict[str, Any]:
        """For the journal."""
        return asdict(self)

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> SearchConfig:
        """From a journal. What it lacks has its default; what this version no longer has is passed over."""
        names = [field.name for field in fields(cls) if field.name in raw]
        known: dict[str, Any] = {name: tuple(raw[name]) if isinstance(raw[name], list) else raw[name] for name in names}
        return cls(**known)


DEFAULT_CONFIG = SearchConfig()
