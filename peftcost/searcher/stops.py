"""The stops of a search: the lengths at which its lineages are measured. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from peftcost.core.statistics import CONFIRM_SEEDS
from peftcost.searcher.config import DEFAULT_CONFIG, SearchConfig


def ladder(longest: int, least: int, config: SearchConfig = DEFAULT_CONFIG) -> list[int]:
    """Stops up to the longest, each `stop_factor` times the one before, none below the least."""
    stops = [longest]
    while len(stops) < config.most_stops and stops[0] // config.stop_factor >= least:
        stops.insert(0, stops[0] // config.stop_factor)
    return stops


@dataclass(frozen=True)
class CostPerTrial:
    """What an arm takes: gpu-seconds an example trained, and beside training for a trial while exploring and for a
    confirmation, which predicts all of dev."""

    per_example: float
    overhead: float
    overhead_confirm: float
    is_reference: bool


def needs_of(stops: Sequence[int], costs: Sequence[CostPerTrial], config: SearchConfig = DEFAULT_CONFIG) -> float:
    """gpu-seconds of the references up to the last stop, of the other methods at the first, and of confirming the dearest
    references."""
    references, others = [p for p in costs if p.is_reference], [p for p in costs if not p.is_reference]
    total = sum(p.per_example * stops[-1] + p.overhead * len(stops) for p in references)
    total += sum(p.per_example * stops[0] + p.overhead for p in others)
    confirmed = sorted(p.per_example * stops[-1] + p.overhead_confirm for p in references)[-config.reserved_contenders :]
    return config.safety * (total + CONFIRM_SEEDS * sum(confirmed))


def reaching_beyond(
    stops: Sequence[int], rows: int, is_payable: Callable[[int], bool], config: SearchConfig = DEFAULT_CONFIG
) -> list[int]:
    """The stops and further ones, until `most_stops_beyond` are there that not every reference can be paid for to reach:
    whatever is worth it may."""
    found = list(stops)
    while (longer := config.stop_factor * found[-1]) <= config.most_epochs * rows:
        if sum(not is_payable(stop) for stop in found) >= config.most_stops_beyond:
            break
        found.append(longer)
    return found


def choose_stops(
    rows: int, batch_size: int, costs: Sequence[CostPerTrial], available: float, config: SearchConfig = DEFAULT_CONFIG
) -> list[int]:
    """The stops whose longest is the longest that can be paid for; available: gpu-seconds, closing costs taken off.

    Never below `fewest_steps` steps; when even that is too much, methods will be skipped.
    """
    least = min(rows, config.fewest_steps * batch_size)
    chosen = [least]
    for epochs in config.epochs:
        stops = ladder(max(least, round(rows * epochs)), least, config)
        if stops[-1] > chosen[-1] and needs_of(stops, costs, config) <= available:
            chosen = stops
    return chosen
