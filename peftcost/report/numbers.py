"""How every report writes a number: quality with three decimals, seconds and bytes as people say them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from peftcost.core.budget import format_seconds
from peftcost.core.memory import format_bytes
from peftcost.core.percent import percent

UNKNOWN = "–"


@dataclass(frozen=True)
class Cell:
    """A number as it is printed, and as it is: to sort and to draw by. None where it is not known."""

    text: str = UNKNOWN
    value: float | None = None

    @property
    def known(self) -> float:
        """The value where it is, NaN where it is not."""
        return math.nan if self.value is None else self.value


def cell(value: float | None, spell: Callable[[float], str]) -> Cell:
    """The cell of a number; what is missing or NaN is unknown, not zero."""
    return Cell() if value is None or math.isnan(value) else Cell(spell(value), value)


def quality(value: float | None) -> Cell:
    return cell(value, lambda v: f"{v:.3f}")


def seconds(value: float | None) -> Cell:
    return cell(value, format_seconds)


def size(value: float | None) -> Cell:
    """Bytes, decimal."""
    return cell(value, format_bytes)


def milliseconds(value: float | None) -> Cell:
    """Of a value in seconds."""
    return cell(value, lambda v: f"{1000 * v:.1f} ms")


def count(value: float | None) -> Cell:
    return cell(value, lambda v: f"{v:,.0f}")


def small_percent(share: float) -> str:
    """A share of one that may be far below a percent, with two significant digits."""
    return percent(share) if share >= 0.0995 else f"{100 * share:.2g} %"


def of_its(ratio: float, what: str) -> str:
    """A ratio to another setup's: "44 % of its time", "as much time", "7 % more time", "2.1 times its time"."""
    if 0.975 < ratio < 1.025:
        return f"as much {what}"
    if ratio >= 2:
        return f"{ratio:.1f} times its {what}" if ratio < 9.95 else f"{ratio:,.0f} times its {what}"
    return f"{percent(ratio)} of its {what}" if ratio < 1 else f"{percent(ratio - 1)} more {what}"


def epochs(examples: int, train_rows: int) -> str:
    """A length in passes over the training rows; empty where nobody counted these."""
    if not train_rows:
        return ""
    number = f"{examples / train_rows:.2g}"
    return f"{number} epoch" if number == "1" else f"{number} epochs"


def plural(n: int, noun: str) -> str:
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def moment(text: str | None) -> str:
    """An ISO time as "24 November 2026, 04:58 UTC"; what is not one is returned as it is."""
    try:
        t = datetime.fromisoformat(text or "")
    except ValueError:
        return text or UNKNOWN
    return f"{t.day} {t:%B %Y, %H:%M} UTC"


def period(start: str | None, end: str | None) -> str:
    """Two moments as "24 November 2026, 04:58 to 05:10 UTC"; the day is told once where it is the same."""
    first, last = moment(start), moment(end)
    day, _, hour = last.rpartition(", ")
    return f"{first.removesuffix(' UTC')} to {hour}" if day and first.startswith(f"{day}, ") else f"{first} to {last}"
