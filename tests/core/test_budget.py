"""Budgets: what people type, and what they meant."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peftcost.core.budget import format_seconds, parse_budget
from peftcost.errors import UserError


@pytest.mark.parametrize(
    ("text", "devices", "seconds"),
    [
        ("4gpu-h", 1, 14400),
        ("30gpu-min", 3, 1800),
        ("90gpu-s", 1, 90),
        ("1.5cpu-h", 2, 5400),
        ("2h", 1, 7200),
        ("2h", 4, 28800),
        ("2h,30gpu-min", 1, 1800),
        ("1min,30gpu-min", 2, 120),
    ],
)
def test_limits(text: str, devices: int, seconds: float) -> None:
    assert parse_budget(text).limit_gpu_seconds(devices) == seconds


def test_money_is_hours_at_a_price() -> None:
    assert parse_budget("10usd", 2.5).limit_gpu_seconds(4) == 4 * 3600


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("0gpu-h", "above zero"),
        ("-1gpu-h", "above zero"),
        ("nan", "not understood"),
        ("nangpu-h", "above zero"),
        ("infgpu-h", "above zero"),
        ("4gpuh", "4gpu-h"),
        ("", "shell"),
        ("0", "shell"),
        ("10$", "10usd"),
        ("10usd", "price=2.5"),
        ("1h,2h", "twice"),
        ("1e400gpu-h", "not understood"),
    ],
)
def test_errors_say_what_to_write(text: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        parse_budget(text)


@given(st.text(max_size=20))
def test_any_text_is_a_budget_or_a_user_error(text: str) -> None:
    try:
        limit = parse_budget(text, 1.0).limit_gpu_seconds(1)
    except UserError:
        return
    assert 0 < limit < math.inf


@given(st.floats(0, 1e7))
def test_spelled_seconds_are_close(seconds: float) -> None:
    units = {"h": 3600, "min": 60, "s": 1}
    words = format_seconds(seconds).split()
    told = sum(float(n) * units[unit] for n, unit in zip(words[::2], words[1::2], strict=True))
    assert abs(told - seconds) <= max(0.51, 60 if seconds >= 3600 else 0)
