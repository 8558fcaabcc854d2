"""How often the advice calls a setup as good as the best that is truly worse by more than the margin.

Searches whose truth is known are drawn again and again, and judged by `peftcost.core.statistics`. Run it with
`python benchmarks/statistics_coverage.py`; it takes about seven minutes on two cores and writes
results/statistics_coverage.json.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass

import numpy as np
from machine import write_result
from scipy.stats import norm

from peftcost.core.statistics import (
    comparators,
    lower_bounds,
    quality_interval,
    resample_qualities,
)
from peftcost.cost.device import cpu_cores
from peftcost.searcher.config import DEFAULT_CONFIG
from peftcost.searcher.confirm import contenders
from peftcost.tasks.metrics import accuracy

MARGIN = 0.01
RUNS = 400
CONFIRMED = 3
REPLICATES = 300
SHARED, OWN, SEED = 0.70, 0.15, 0.15  # of the variance: an example's difficulty, for this setup, for this seed

BEST = 0.76
JUST_WORSE = BEST - MARGIN - 1e-4
"""The least favourable truth: worse by a hair more than the margin."""
NAMES = tuple("abcdefg")
"""Setups in the order of their cost; the last one is the best."""
TRUTHS = {
    "two, the cheaper just worse": dict(zip("ab", (JUST_WORSE, BEST), strict=True)),
    "seven, six just worse": dict.fromkeys(NAMES[:-1], JUST_WORSE) | {"g": BEST},
    "seven, a cheaper one as good": dict(zip(NAMES, (0.66, 0.68, 0.69, BEST, 0.70, 0.71, BEST), strict=True)),
}


@dataclass(frozen=True)
class Case:
    """A search to simulate. searched: one exploring seed each, then fresh seeds for three contenders only; else
    all setups have `seeds`. unequal: the best has seed_sd, the others a tenth of it."""

    truth: str
    dev_rows: int
    seeds: int
    seed_sd: float
    searched: bool = False
    unequal: bool = False


CASES = (
    Case("two, the cheaper just worse", 500, 2, 0.005),
    Case("two, the cheaper just worse", 3000, 2, 0.005),
    Case("two, the cheaper just worse", 3000, 3, 0.010),
    Case("two, the cheaper just worse", 3000, 3, 0.010, unequal=True),
    Case("seven, six just worse", 3000, 2, 0.005),
    Case("seven, six just worse", 3000, 3, 0.010, unequal=True),
    Case("seven, six just worse", 300, 2, 0.005, searched=True),
    Case("seven, six just worse", 3000, 2, 0.005, searched=True),
    Case("seven, six just worse", 3000, 3, 0.005, searched=True),
    Case("seven, a cheaper one as good", 3000, 3, 0.005, searched=True),
    Case("seven, a cheaper one as good", 8000, 3, 0.003, searched=True),
)


def draw(truth: Mapping[str, float], case: Case, random: np.random.Generator) -> dict[str, list[np.ndarray]]:
    """Rows (prediction, target) per setup and seed; one more seed than `case.seeds`, the exploring one first."""
    n = case.dev_rows
    shared = random.normal(size=n) * SHARED**0.5
    best = max(truth, key=lambda s: truth[s])
    rows: dict[str, list[np.ndarray]] = {}
    for name, quality in truth.items():
        common = shared + random.normal(size=n) * OWN**0.5
        sd = case.seed_sd / 10 if case.unequal and name != best else case.seed_sd
        rows[name] = []
        for _ in range(case.seeds + 1):
            level = norm.ppf(quality + random.normal() * sd)
            right = common + random.normal(size=n) * SEED**0.5 < level
            rows[name].append(np.stack([right, np.ones(n)], axis=1).astype(np.float32))
    return rows


def confirmed_of(rows: Mapping[str, list[np.ndarray]], run: int) -> list[str]:
    """Who is confirmed after one exploring seed each."""
    first = resample_qualities({s: seeds[:1] for s, seeds in rows.items()}, accuracy, REPLICATES, run)
    in_order_of_cost = {s: 1.0 + place for place, s in enumerate(rows)}
    return contenders(first, MARGIN, in_order_of_cost, DEFAULT_CONFIG)[:CONFIRMED]


def judge(case: Case, run: int) -> tuple[bool, bool, bool, bool]:
    """One simulated search: anything truly inferior shown; the advice confirmed; a setup shown that is cheaper than
    the best observed and truly as good; the interval of the best setup's quality holds the truth."""
    truth = TRUTHS[case.truth]
    rows = draw(truth, case, np.random.default_rng([run, case.dev_rows, case.seeds]))
    confirmed = confirmed_of(rows, run) if case.searched else list(rows)
    decisive = {s: seeds[1:] if s in confirmed else seeds[:1] for s, seeds in rows.items()}
    known = [seeds if s in confirmed and case.searched else decisive[s] for s, seeds in rows.items()]
    groups = [[float(np.mean(r[:, 0] == r[:, 1])) for r in seeds] for seeds in known]
    found = resample_qualities(decisive, accuracy, REPLICATES, run, groups)
    fresh_seeds = dict.fromkeys(rows, 0) | dict.fromkeys(confirmed, case.seeds)
    bounds = dict.fromkeys(rows, -1.0) | lower_bounds(found.only(comparators(found, fresh_seeds)))
    shown = [s for s in rows if s in confirmed and bounds[s] > -MARGIN]
    inferior = [s for s in truth if truth[s] < max(truth.values()) - MARGIN]
    observed_best = max(found.observed, key=lambda s: found.observed[s])
    as_good = [s for s in shown[:1] if s not in inferior and s != observed_best]
    low, high = quality_interval(found, list(rows)[-1])
    return any(s in inferior for s in shown), bool(shown), bool(as_good), low <= BEST <= high


def simulate(case: Case) -> dict[str, object]:
    rates = np.mean([judge(case, run) for run in range(RUNS)], axis=0)
    names = ("falsely_shown", "confirmed", "cheaper_and_as_good_shown", "interval_holds")
    return asdict(case) | {name: round(float(rate), 4) for name, rate in zip(names, rates, strict=True)}


def main() -> None:
    since = time.perf_counter()
    with ProcessPoolExecutor(cpu_cores()) as pool:
        cases = []
        for case in pool.map(simulate, CASES):
            cases.append(case)
            print(case, flush=True)
    facts = {
        "seconds": round(time.perf_counter() - since, 1),
        "margin": MARGIN,
        "runs": RUNS,
        "replicates": REPLICATES,
        "monte_carlo_sd_at_5_percent": round((0.05 * 0.95 / RUNS) ** 0.5, 4),
        "cases": cases,
    }
    write_result("statistics_coverage", facts)


if __name__ == "__main__":
    main()
