"""Task types and methods of other packages come through entry points."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from peftcost.core.registry import discover
from peftcost.tasks import TaskType, task_types
from peftcost.tasks.text_classification import TextClassification


def installed(folder: Path, monkeypatch: pytest.MonkeyPatch, code: str, entry: str) -> None:
    """A package with this module and this entry point, on the path."""
    (folder / "own_tasks.py").write_text(code)
    info = folder / "own_tasks-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: own-tasks\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[peftcost.tasks]\n{entry}\n")
    monkeypatch.syspath_prepend(folder)
    importlib.invalidate_caches()


def found() -> dict[str, TaskType]:
    import peftcost.tasks as package

    return discover(package.__name__, package.__path__, TaskType)  # type: ignore[type-abstract]


OWN = """
from peftcost.tasks.text_classification import TextClassification

class Own(TextClassification):
    name = "{name}"
"""


def test_a_package_adds_a_task_type(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(tmp_path, monkeypatch, OWN.format(name="own-rating"), "own-rating = own_tasks:Own")
    assert set(found()) == {*task_types(), "own-rating"}
    assert isinstance(found()["own-rating"], TextClassification)


def test_two_of_one_name_and_what_is_no_task_type_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(tmp_path, monkeypatch, OWN.format(name="text-classification"), "own = own_tasks:Own")
    monkeypatch.delitem(sys.modules, "own_tasks", raising=False)
    with pytest.raises(ValueError, match="are both called 'text-classification'"):
        found()
    (tmp_path / "own_tasks-1.0.dist-info" / "entry_points.txt").write_text(
        "[peftcost.tasks]\nown = own_tasks:TextClassification.name\n"
    )
    with pytest.raises(TypeError, match="and no TaskType"):
        found()
