"""What the measurements say about the setups of a run: dev rows from disk, resampled once each."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from peftcost.core.statistics import Expectation, Replicates, nested_sample, plain_value, resample_examples, with_seed_noise
from peftcost.searcher.explore import surrogate_of
from peftcost.searcher.state import SearchState
from peftcost.searcher.trial import Trial
from peftcost.store.run_folder import RunFolder
from peftcost.tasks import Metric

RowsOf = Callable[[str, int], np.ndarray]
"""(setup id, seed) -> the dev rows of that trial, shape (n, k)."""


class Evidence:
    """Bootstrap replicates of a growing search: each trial's rows are read and resampled when they are first needed."""

    def __init__(self, rows_of: RowsOf, metric: Metric, seed: int, copies: np.ndarray | None = None) -> None:
        """copies: among the dev examples, as for `resample_examples`."""
        self.rows_of, self.metric, self.seed, self.copies = rows_of, metric, seed, copies
        self._drawn: dict[tuple[str, int, int | None], tuple[float, np.ndarray]] = {}

    def replicates(self, state: SearchState, most: int | None = None) -> Replicates | None:
        """Of every measured setup's quality, or None before anything is measured. most: of so many of the best alone, and of
        all that were trained again.

        A setup that only exploring has measured, on a sample of dev, is told with what it would be on all of dev: the sample
        is easier or harder than the rest by what the confirmed setups, known on both, show (in each resample anew). How far
        seeds differ is expected from how far exploring's readings err beyond their sample. What it will be worth in truth is
        expected from all of exploring's readings together; of the sample's error, most is common to all that were read on it.
        """
        ids = sorted({*state.confirmed, *(trial.setup.id for trial in state.explored.best(most))})
        if not ids:
            return None
        config, decisive = state.config, {setup_id: state.decisive(setup_id) for setup_id in ids}
        alone = [s for s in ids if s not in state.confirmed]
        drawn = {s: [self._draw(state, t) for t in decisive[s]] for s in ids}
        if state.dev_sample is not None and state.confirmed:
            fresh = [t for s in sorted(state.confirmed) for t in decisive[s]]
            on_sample, on_all = ([self._draw(state, t, rows) for t in fresh] for rows in (state.dev_sample, None))
            ease = float(np.mean([part - whole for (part, _), (whole, _) in zip(on_sample, on_all, strict=True)]))
            eases = np.mean([parts - wholes for (_, parts), (_, wholes) in zip(on_sample, on_all, strict=True)], axis=0)
            drawn |= {s: [(plain - ease, resampled - eases) for plain, resampled in drawn[s]] for s in alone}
        per_seed = {s: {t.seed: plain for t, (plain, _) in zip(decisive[s], drawn[s], strict=True)} for s in ids}
        stacked = {s: np.stack([resampled for _, resampled in found]) for s, found in drawn.items()}
        surrogate, groups, limits = surrogate_of(state), spread_groups(state), self.metric.limits
        found = with_seed_noise(stacked, per_seed, self.seed, groups, limits, surrogate.own_noise, config.unsettled_seeds)
        shift = self._shift_of_fresh_seeds(state)
        expectations = {}
        for s, mean, deviation in zip(alone, *surrogate.predict([state.setup(s) for s in alone]), strict=True):
            read, resampled = self._draw(state, decisive[s][0])
            own = config.own_sample_share * float(resampled.var())
            common = max(0.0, float(stacked[s].var()) - own) + found.common_seed_deviation**2
            expected = float(np.clip(found.observed[s] + mean - read + shift, *limits))
            expectations[s] = Expectation(expected, float(deviation), math.sqrt(common))
        return replace(found, expectations=expectations)

    def _shift_of_fresh_seeds(self, state: SearchState) -> float:
        """By how much fresh seeds are expected to be better than exploring's seed, which does some things to all alike.

        Each setup that was trained again tells it, by what it reads on exploring's sample less what was expected of it there;
        beforehand it is normal around 0. Without it all of exploring's readings would beat what was confirmed.
        """
        surrogate = surrogate_of(state)
        own = (surrogate.own_noise or 0.0) ** 2
        variance = 2 * own * state.config.common_seed_share**2  # of exploring's seed, and of the fresh one
        again = sorted(state.confirmed)  # each was explored before
        if not again or not variance:
            return 0.0
        told = []
        for s, mean, deviation in zip(again, *surrogate.predict([state.setup(s) for s in again]), strict=True):
            read = [self._draw(state, trial, state.dev_sample)[0] for trial in state.decisive(s)]
            told.append((float(np.mean(read)) - mean, deviation**2 + own / len(read)))
        return common_shift(told, variance, state.config.astray_deviations)

    def reading_error(self, state: SearchState, trial: Trial) -> float:
        """The standard error of a trial's quality over the dev examples."""
        return float(self._draw(state, trial)[1].std())

    def _draw(self, state: SearchState, trial: Trial, sample: int | None = None) -> tuple[float, np.ndarray]:
        """The metric of a trial's rows, or of a sample of them, as they are and resampled."""
        key = (trial.setup.id, trial.seed, sample)
        if key not in self._drawn:
            n, replicates = state.cost.dev_rows, state.config.replicates
            rows = self.rows_of(trial.setup.id, trial.seed)
            rows = rows if sample is None else rows[nested_sample(n, sample)]
            (values,) = resample_examples([rows], self.metric.compute, n, replicates, self.seed, self.copies)
            self._drawn[key] = (plain_value(rows, self.metric.compute), values)
        return self._drawn[key]


def common_shift(told: Sequence[tuple[float, float]], variance: float, astray_deviations: float) -> float:
    """What is common to these differences, each with its own variance, if it is normal around 0 with this variance. One that
    lies farther off than so many deviations is of a training that went astray, and tells nothing of others."""
    near = [(found, own) for found, own in told if abs(found) <= astray_deviations * math.sqrt(variance + own)]
    return sum(found / own for found, own in near) / (1 / variance + sum(1 / own for _, own in near))


def spread_groups(state: SearchState) -> list[dict[int, float]]:
    """Qualities by seed, of each setup and size of the dev sample, to see how far seeds differ: between a sample and all of
    dev they differ for other reasons, too."""
    groups: dict[tuple[str, int | None], dict[int, float]] = {}
    for setup_id in sorted(state.confirmed):
        for trial in state.trials_of(setup_id):
            if trial.measurement is not None:
                groups.setdefault((setup_id, trial.measurement.dev_rows), {})[trial.seed] = trial.measurement.quality
    return list(groups.values())


def evidence_in(folder: RunFolder, metric: Metric, seed: int) -> Evidence:
    """Evidence from a run's folder; a run of an earlier version tells no copies."""
    copies = np.load(folder.copies_file) if folder.copies_file.exists() else None
    return Evidence(lambda setup_id, seed: np.load(folder.trial(setup_id, seed) / "dev_rows.npy"), metric, seed, copies)


def remember_copies(folder: RunFolder, copies: np.ndarray | None) -> None:
    """Keep which dev examples are copies of one another, for `evidence_in`."""
    if copies is not None:
        np.save(folder.copies_file, copies)
