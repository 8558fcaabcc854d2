"""Which of many like cases run in `make test`; the others run in `make test-all`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def quick(cases: Iterable[Any], *chosen: Any) -> list[Any]:
    """The cases of a parametrized test; all but the chosen ones are `slow`."""
    return [case if case in chosen else pytest.param(case, marks=pytest.mark.slow) for case in cases]
