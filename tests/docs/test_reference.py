"""What of docs/ is made from the code is up to date."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

import peftcost
from peftcost.recommend.schema import Result

ROOT = Path(__file__).parent.parent.parent
spec = importlib.util.spec_from_file_location("reference", ROOT / "scripts" / "reference.py")
assert spec is not None and spec.loader is not None
reference = importlib.util.module_from_spec(spec)
spec.loader.exec_module(reference)


@pytest.mark.parametrize("name", reference.PAGES)
def test_pages_made_from_the_code_are_up_to_date(name: str) -> None:
    text = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert text == reference.PAGES[name](), f"docs/{name} is old: run `python scripts/reference.py`"


def test_every_public_name_is_in_the_reference() -> None:
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    assert all(f"## peftcost.{name}" in page or f"## {name}" in page for name in peftcost.__all__)


def test_a_result_of_this_version_has_every_field_of_the_schema() -> None:
    fixture = json.loads((ROOT / "tests" / "report" / "result_fixture.json").read_text(encoding="utf-8"))
    assert Result.model_validate(fixture).model_dump(mode="json", exclude_unset=True).keys() == fixture.keys()
    schema = json.loads((ROOT / "docs" / "result.schema.json").read_text(encoding="utf-8"))
    assert set(schema["required"]) <= fixture.keys() <= schema["properties"].keys()
