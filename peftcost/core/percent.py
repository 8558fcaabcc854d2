"""How a share of one is written."""

from __future__ import annotations


def percent(share: float) -> str:
    """A share of one; never rounded to all or nothing when it is neither."""
    if 0 < share < 0.005:
        return "< 1 %"
    if 0.995 <= share < 1:
        return "> 99 %"
    return f"{100 * share:.0f} %"
