"""A result for the tests of reports."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

FIXTURE = Path(__file__).with_name("result_fixture.json")


@pytest.fixture
def result() -> dict[str, Any]:
    return json.loads(FIXTURE.read_text(encoding="utf-8"))
