"""Label columns that may mean something else: what is refused, what is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from peftcost.errors import UserError
from peftcost.task.draft import draft_task_yaml
from peftcost.task.splits import TaskData, load_task_data
from peftcost.task.task import load_task


def written(folder: Path, cells: list[str], column: str = "label", rows: int = 80) -> Path:
    lines = "".join(f'some text number {i},"{cells[i % len(cells)]}"\n' for i in range(rows))
    (folder / "x.csv").write_text(f"text,{column}\n{lines}", encoding="utf-8")
    return folder / "x.csv"


def load(path: Path, label: str | None = None) -> TaskData:
    return load_task_data(load_task(path, label), 0)


@pytest.mark.parametrize(
    ("cells", "says"),
    [
        (["yes", "no", "N/A"], "'N/A' may stand for a missing label, but is taken for a class"),
        (["neutral", "-", "#REF!"], "'#REF!', '-' may stand for a missing label, but are taken for classes"),
        (["1-5", "6-10", "Nov-15", "16-20"], "'Nov-15' may be what Excel made of another label"),
        (["drama", "action", "action/drama"], "The class 'action/drama' may be several, 'action' and 'drama'"),
        (["haze", "primary", "haze primary"], "write lists, or 'haze|primary', with `task: multi-label`"),
    ],
)
def test_classes_that_may_be_none_are_told(tmp_path: Path, cells: list[str], says: str) -> None:
    assert any(says in warning for warning in load(written(tmp_path, cells)).warnings)


@pytest.mark.parametrize(
    "cells", [["+", "-"], ["Jan-05", "Feb-06"], ["New York", "York"], ["None", "mild"], ["1", "-1", "0"]]
)
def test_other_classes_raise_no_doubt(tmp_path: Path, cells: list[str]) -> None:
    assert not any("may " in warning for warning in load(written(tmp_path, cells)).warnings)


@pytest.mark.parametrize("odd", ["0.5", "1.5"])
def test_one_fraction_among_whole_numbers_makes_no_regression_untold(tmp_path: Path, odd: str) -> None:
    path = written(tmp_path, [*["0", "1", "2"] * 13, odd])
    with pytest.raises(
        UserError, match=f"line 41, column 'label': '{odd}' is not whole .* `task: regression` and `columns"
    ) as raised:
        load(path)
    task, columns = str(raised.value).split("`")[1::2]
    (tmp_path / "task.yaml").write_text(f"model: builtin:minilm\n{task}\ndata: x.csv\n{columns}\n")
    assert load(tmp_path / "task.yaml").task_type.name == "regression"
    assert load(written(tmp_path, [*["0", "1", "2"] * 13, odd], "score"), "score").task_type.name == "regression"


def test_many_whole_numbers_may_be_learnt_as_such_and_the_draft_says_how(tmp_path: Path) -> None:
    assert "to learn them as numbers write `task: regression`" in draft_task_yaml(
        written(tmp_path, [str(10 * i) for i in range(25)], "price", 200), "price"
    )
    with pytest.raises(UserError, match="is this the label column. To learn numbers as such, write `task: regression`"):
        load(written(tmp_path, [str(10 * i) for i in range(80)], "price"), "price")


@pytest.mark.parametrize("joint", ["|", ";", ","])
def test_a_joint_at_an_end_parts_nothing(tmp_path: Path, joint: str) -> None:
    cells = [f"late{joint}rude{joint}", f"{joint}rude", f"late{joint}shop", f"shop{joint}", f"rude{joint}shop"]
    data = load(written(tmp_path, cells))
    assert data.targets.describe() == "Labels (3): late, rude, shop"
    with pytest.raises(UserError, match="line 7, column 'label': the label is empty"):
        load(written(tmp_path, [*cells, f"late{joint}{joint}rude"]))


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"text": "a b", "label": {"good": 1, "bad": 0}}, "expected one label, but got an object ('good', 'bad': …)"),
        ({"data": {"text": "a b"}, "label": "x"}, "What is within 'data' is no column"),
        ({"id": 1, "annotations": [{"result": []}]}, "What is within 'annotations' is no column"),
        ({"translation": {"en": "a", "de": "b"}}, "has one column alone.*What is within 'translation' is no column"),
    ],
)
def test_objects_within_rows_are_named(tmp_path: Path, row: dict[str, Any], says: str) -> None:
    (tmp_path / "x.jsonl").write_text("\n".join([json.dumps(row)] * 9))
    with pytest.raises(UserError, match=says.replace("(", "\\(").replace(")", "\\)")):
        load(tmp_path / "x.jsonl")


@pytest.mark.parametrize("joint", ["^", "::", " @@@ "])
def test_a_file_of_one_column_says_which_separators_are_read(tmp_path: Path, joint: str) -> None:
    (tmp_path / "x.csv").write_text("".join(f"a text{joint}{label}\n" for label in ("label", "x", "y", "x")))
    with pytest.raises(UserError, match="has one column alone .*a comma, a semicolon, a tab or a bar between them"):
        load(tmp_path / "x.csv")
