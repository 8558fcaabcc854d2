"""The pages agree with the code and with each other."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from peftcost.core.ledger import CATEGORIES
from peftcost.methods import Method
from peftcost.recommend.policies import POLICIES, Recommendation
from peftcost.task.task import DataFiles, Rows, Task
from peftcost.tasks import TaskType, task_types

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"
PAGES = [*ROOT.glob("*.md"), *sorted(DOCS.rglob("*.md"))]


def named_in(page: str) -> set[str]:
    """What the page shows in code type: in tables, the words of the first columns."""
    text = (DOCS / page).read_text(encoding="utf-8")
    return {word for code in re.findall(r"`([^`\n]+)`", text) for word in re.findall(r"[\w.-]+", code)}


def test_the_index_lists_every_page() -> None:
    listed = set(re.findall(r"\]\(([\w/-]+\.md)\)", (DOCS / "index.md").read_text(encoding="utf-8")))
    assert listed == {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")} - {"index.md"}


def test_the_readme_is_one_screen() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) < 600


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", text)
    dead = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert not dead


def test_make_targets_and_scripts_exist() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"(?:^|`)make ([\w-]+)", text, re.MULTILINE)) <= targets
    assert all((ROOT / script).exists() for script in re.findall(r"python (benchmarks/[\w/]+\.py)", text))


def test_task_yaml_has_every_field_task_type_role_and_metric() -> None:
    fields = {*Task.model_fields, *(f"data.{name}" for name in DataFiles.model_fields)}
    fields |= {f"rows.{name}" for name in Rows.model_fields}
    words = {word for kind in task_types().values() for word in (kind.name, *kind.roles, *kind.metrics)}
    assert fields | words <= named_in("task-yaml.md")


def keys_of(value: Any) -> Iterator[str]:
    """All keys of a result but those that users or methods choose."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield key
            if key not in ("hyperparameters", "columns", "versions", "data"):
                yield from keys_of(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from keys_of(inner)


def test_result_json_has_every_field() -> None:
    result = json.loads((ROOT / "tests" / "report" / "result_fixture.json").read_text(encoding="utf-8"))
    fields = {*keys_of(result), *Recommendation.__dataclass_fields__, *CATEGORIES, *POLICIES}
    assert fields <= named_in("result-json.md")


@pytest.mark.parametrize(("page", "base"), [("method.md", Method), ("task-type.md", TaskType)])
def test_extension_pages_name_every_member(page: str, base: type) -> None:
    members = {*vars(base), *base.__annotations__}
    assert {name for name in members if not name.startswith("_")} <= named_in(f"extending/{page}")


def test_words_of_the_code_in_the_glossary_are_still_in_the_code() -> None:
    table = (DOCS / "glossary.md").read_text(encoding="utf-8").split("\n\n")[-1]
    words = [word for row in table.splitlines()[2:] for word in row.split("|")[1].strip(" `").split(", ")]
    code = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "peftcost").rglob("*.py")).lower()
    assert [word for word in words if word.strip("`").replace("cool-down", "cooldown") not in code] == []
