"""Finds the methods and task types by looking into their folders, so that adding one touches no other file; those of other
packages come through entry points."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable
from importlib.metadata import entry_points
from typing import ClassVar, Protocol, TypeVar

from peftcost.errors import UserError, did_you_mean


class Named(Protocol):
    name: ClassVar[str]


T = TypeVar("T", bound=Named)


def discover(package: str, path: Iterable[str], base: type[T]) -> dict[str, T]:
    """One instance, by name, of each subclass of `base` that a module of the package defines and gives a name, or that an
    installed package offers as an entry point of the group that is called like this one ("peftcost.tasks")."""
    classes: list[type[T]] = []
    for module_info in pkgutil.iter_modules(path):
        module = importlib.import_module(f"{package}.{module_info.name}")
        for value in vars(module).values():
            own = isinstance(value, type) and issubclass(value, base) and value.__module__ == module.__name__
            if own and "name" in vars(value):
                classes.append(value)
    for point in entry_points(group=package):
        offered = point.load()
        if not (isinstance(offered, type) and issubclass(offered, base)):
            raise TypeError(f"the entry point {point.name!r} of {package} is {offered!r}, and no {base.__name__}")
        classes.append(offered)
    found: dict[str, T] = {}
    for one in classes:
        if one.name in found:
            raise ValueError(f"{one!r} and {type(found[one.name])!r} are both called {one.name!r}")
        found[one.name] = one()
    return found


def look_up(name: str, known: dict[str, T], kind: str) -> T:
    """The one of that name; UserError with the nearest name when there is none."""
    if name not in known:
        raise UserError(f"There is no {kind} {name!r}.{did_you_mean(name, list(known))} Known are: {', '.join(known)}.")
    return known[name]
