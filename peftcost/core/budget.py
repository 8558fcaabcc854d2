"""Budgets: what may be spent on searching."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from peftcost.errors import UserError

UNIT_SECONDS = {"h": 3600.0, "min": 60.0, "s": 1.0}
PATTERN = re.compile(r"(?P<number>[+-]?[\d.]+|[a-z]+)\s*(?:(?P<device>gpu|cpu)-)?(?P<unit>h|min|s|usd)", re.IGNORECASE)
EXAMPLES = "for example 4gpu-h, 30gpu-min, 90gpu-s, 2h (wall clock) or 10usd (with --price)"


@dataclass(frozen=True)
class Budget:
    """Limits, any of them None: device-seconds, seconds on the clock, money at a price per GPU-hour."""

    gpu_seconds: float | None = None
    wall_seconds: float | None = None
    usd: float | None = None
    price_per_gpu_hour: float | None = None

    def limit_gpu_seconds(self, n_devices: int) -> float:
        """The tightest limit, in device-seconds of n devices."""
        limits = []
        if self.gpu_seconds is not None:
            limits.append(self.gpu_seconds)
        if self.wall_seconds is not None:
            limits.append(self.wall_seconds * n_devices)
        if self.usd is not None and self.price_per_gpu_hour is not None:
            limits.append(self.usd / self.price_per_gpu_hour * 3600)
        return min(limits, default=math.inf)


def parse_budget(text: str, price_per_gpu_hour: float | None = None) -> Budget:
    """Read "4gpu-h", "2h", "10usd", or several with commas between. UserError that says what to write instead."""
    check_price(price_per_gpu_hour)
    if not text.strip():
        raise UserError(f"--budget is empty; perhaps the shell took $10 for a variable. Write it as 10usd, {EXAMPLES}.")
    limits: dict[str, float] = {}
    for part in text.split(","):
        name, value = _parse_part(part.strip(), text)
        if name in limits:
            raise UserError(f"--budget {text!r} names {name} twice; keep one.")
        limits[name] = value
    if "usd" in limits and price_per_gpu_hour is None:
        raise UserError(f"--budget {text!r} is in money; give the price of a GPU-hour as well, as in --price 2.5.")
    return Budget(**limits, price_per_gpu_hour=price_per_gpu_hour)


def check_price(per_gpu_hour: float | None) -> None:
    """UserError for what is no price."""
    if per_gpu_hour is not None and not (0 < per_gpu_hour < math.inf):
        raise UserError(f"--price {per_gpu_hour} is not a price per GPU-hour; say for example --price 2.5.")


def _parse_part(part: str, whole: str) -> tuple[str, float]:
    match = PATTERN.fullmatch(part)
    if match is None:
        raise UserError(f"--budget {whole!r} is not understood{_guess(part)}; {EXAMPLES}.")
    try:
        number = float(match["number"])
    except ValueError:
        raise UserError(f"--budget {whole!r}: {match['number']!r} is not a number; {EXAMPLES}.") from None
    if not (0 < number < math.inf):
        raise UserError(f"--budget {whole!r} must be above zero and finite; {EXAMPLES}.")
    unit = match["unit"].lower()
    if unit == "usd":
        if match["device"]:
            raise UserError(f"--budget {whole!r} is not understood; write {match['number']}usd.")
        return "usd", number
    seconds = number * UNIT_SECONDS[unit]
    return ("gpu_seconds", seconds) if match["device"] else ("wall_seconds", seconds)


def _guess(part: str) -> str:
    """What was probably meant."""
    without_dash = re.fullmatch(r"([\d.]+)\s*(gpu|cpu)[ _]?(h|min|s)\w*", part, re.IGNORECASE)
    if without_dash:
        return f"; did you mean {without_dash[1]}{without_dash[2].lower()}-{without_dash[3].lower()}?"
    money = re.fullmatch(r"\$?([\d.]+)\$?", part)
    if money and "$" in part:
        return f"; did you mean {money[1]}usd?"
    if money:
        return f" (no unit): write {part}gpu-min or, if you typed $ and the shell ate it, 10usd"
    return ""


def format_seconds(seconds: float) -> str:
    """Seconds as people say them: "6 min 40 s", "2 h 5 min", "8.3 s"."""
    if not math.isfinite(seconds):
        return "no limit"
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    hours, minutes, rest = whole // 3600, whole % 3600 // 60, whole % 60
    parts = [(hours, "h"), (minutes, "min"), (rest, "s")]
    shown = [f"{n} {unit}" for n, unit in parts if n]
    return " ".join(shown[:2]) or "0 s"


def typed_budget(gpu_seconds: float) -> str:
    """A budget that can be typed, and is no less: "90gpu-s", "7gpu-min"."""
    return f"{math.ceil(gpu_seconds)}gpu-s" if gpu_seconds < 120 else f"{math.ceil(gpu_seconds / 60)}gpu-min"
