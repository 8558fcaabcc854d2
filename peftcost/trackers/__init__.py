"""Trackers: one file each, found by looking into this folder."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec

from peftcost.core.registry import discover, look_up
from peftcost.errors import UserError
from peftcost.trackers.base import Fact, TrackedSearch, Tracker

__all__ = ["Fact", "TrackedSearch", "Tracker", "get_tracker", "trackers"]


@cache
def known_trackers() -> dict[str, Tracker]:
    return discover(__name__, __path__, Tracker)  # type: ignore[type-abstract]


def trackers() -> list[str]:
    """The names of all."""
    return sorted(known_trackers())


def get_tracker(name: str) -> Tracker:
    """A new one of that name; UserError if there is none, or its package is not installed."""
    kind = type(look_up(name, known_trackers(), "tracker"))
    if find_spec(kind.package) is None:
        raise UserError(f"--track {name} needs the package {kind.install}; install it with `pip install {kind.install}`.")
    return kind()
