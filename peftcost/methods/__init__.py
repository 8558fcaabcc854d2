"""The methods: one file each."""

from functools import cache

from peftcost.core.registry import discover, look_up
from peftcost.methods.base import CannotMerge, Method

__all__ = ["CannotMerge", "Method", "get_method", "methods"]


@cache
def methods() -> dict[str, Method]:
    """All methods by name, by priority."""
    found = discover(__name__, __path__, Method)  # type: ignore[type-abstract]
    return dict(sorted(found.items(), key=lambda item: (item[1].priority, item[0])))


def get_method(name: str) -> Method:
    """The method of that name, or a UserError that names the nearest."""
    return look_up(name, methods(), "method")
