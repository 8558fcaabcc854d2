"""Finds the methods and task types by looking into their folders, so that adding one touches no other file."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable
from typing import ClassVar, Protocol, TypeVar

from peftcost.errors import UserError, did_you_mean


class Named(Protocol):
    name: ClassVar[str]


T = TypeVar("T", bound=Named)


def discover(package: str, path: Iterable[str], base: type[T]) -> dict[str, T]:
    """One instance, by name, of each subclass of `base` that a module of the package defines and gives a name."""
    found: dict[str, T] = {}
    for module_info in pkgutil.iter_modules(path):
        module = importlib.import_module(f"{package}.{module_info.name}")
        for value in vars(module).values():
            own = isinstance(value, type) and issubclass(value, base) and value.__module__ == module.__name__
            if own and "name" in vars(value):
                if value.name in found:
                    raise ValueError(f"{value!r} and {type(found[value.name])!r} are both called {value.name!r}")
                found[value.name] = value()
    return found


def look_up(name: str, known: dict[str, T], kind: str) -> T:
    """The one of that name; UserError with the nearest name when there is none."""
    if name not in known:
        raise UserError(f"There is no {kind} {name!r}.{did_you_mean(name, list(known))} Known are: {', '.join(known)}.")
    return known[name]
