"""The stops of a search: the lengths at which its lineages are measured. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from peftcost.searcher.config import SearchConfig


def ladder(longest: int, least: int, config: SearchConfig) -> list[int]:
    """Stops up to the longest, each `stop_factor` times the one before, none below the least."""
    stops = [longest]
    while len(stops) < config.most_stops and stops[0] // config.stop_factor >= least:
        stops.insert(0, stops[0] // config.stop_factor)
    return stops


def reaching_beyond(stops: Sequence[int], rows: int, is_payable: Callable[[int], bool], config: SearchConfig) -> list[int]:
    """The stops and further ones, until `most_stops_beyond` are there that not every reference can be paid for to reach:
    whatever is worth it may."""
    found = list(stops)
    while may_reach_beyond(found[-1], rows, config):
        if sum(not is_payable(stop) for stop in found) >= config.most_stops_beyond:
            break
        found.append(config.stop_factor * found[-1])
    return found


def may_reach_beyond(stop: int, rows: int, config: SearchConfig) -> bool:
    """Whether some budget may add a further stop."""
    return config.stop_factor * stop <= config.most_epochs * rows


def choose_stops(rows: int, batch_size: int, is_payable: Callable[[Sequence[int]], bool], config: SearchConfig) -> list[int]:
    """The stops whose longest is the longest that can be paid for.

    Never below `fewest_steps` steps; when even that is too much, methods will be skipped.
    """
    least = min(rows, config.fewest_steps * batch_size)
    chosen = [least]
    for epochs in config.epochs:
        stops = ladder(max(least, round(rows * epochs)), least, config)
        if stops[-1] > chosen[-1] and is_payable(stops):
            chosen = stops
    return chosen
