"""Tags that may be slips are told with their row, and stay."""

from __future__ import annotations

from pathlib import Path

import pytest

from peftcost.task.draft import draft_task_yaml
from peftcost.task.splits import load_task_data
from peftcost.task.task import Task

USUAL = ["B-PER O B-LOC", "B-PER I-PER O", "B-LOC I-LOC O"]


def written(folder: Path, tags: list[str]) -> Path:
    blocks = ["\n".join(f"word{i}x{n} {tag}" for n, tag in enumerate(some.split())) for i, some in enumerate(tags)]
    (folder / "data.conll").write_text("\n\n".join(blocks) + "\n")
    return folder / "data.conll"


def told(path: Path) -> list[str]:
    """What `check` tells of odd tags, all of which stands in the draft, too."""
    found = [text for text in load_task_data(Task(model="builtin:minilm", data=str(path)), 0).warnings if "the tag" in text]
    draft = draft_task_yaml(path)
    assert all(f"# {text}\n" in draft for text in found)
    return found


@pytest.mark.parametrize(
    ("odd", "tag", "meant"),
    [
        ("O U-PER", "'U-PER' (word 2) has a letter that is of no scheme", " Did you mean 'B-PER'?"),
        ("O E-LOC", "'E-LOC' (word 2) has a letter that is of no scheme", " Did you mean 'I-LOC'?"),
        ("O B-PRE", "'B-PRE' (word 2) is of a kind that no other row has", " Did you mean 'B-PER'?"),
        ("O B-VESSEL", "'B-VESSEL' (word 2) is of a kind that no other row has", "has."),
    ],
)
def test_a_slip_is_told_with_its_row_and_what_may_be_meant(odd: str, tag: str, meant: str, tmp_path: Path) -> None:
    (text,) = told(written(tmp_path, [*USUAL * 6, odd, *USUAL * 6]))
    assert text.startswith(f"{tmp_path}/data.conll, line 73: the tag {tag}") and text.endswith(meant)


@pytest.mark.parametrize(
    "tags",
    [
        [*USUAL * 12],
        ["B-PER O", "B-LOC O", "I-PER O"] * 10,
        ["B-PER E-PER O", "B-LOC I-LOC E-LOC", "O O"] * 10 + ["S-PER O"],
        ["U-PER O", "B-LOC L-LOC O"] * 10 + ["B-LOC I-LOC L-LOC"],
        ["PER PER O", "LOC O O"] * 10,
        [*["B-PER O", "B-LOC O"] * 4, "B-ORG O"],
    ],
)
def test_tags_of_one_scheme_are_not(tags: list[str], tmp_path: Path) -> None:
    assert told(written(tmp_path, tags)) == []


def test_numbers_are_told_with_how_entities_are_judged(tmp_path: Path) -> None:
    """As an export of `datasets` to CSV has them."""
    rows = "".join(f"\"['Ann', 'left', 'York{i}']\",\"[1, 0, 5]\"\n" for i in range(30))
    (tmp_path / "data.csv").write_text("tokens,ner_tags\n" + rows)
    draft = draft_task_yaml(tmp_path / "data.csv")
    assert "metric: token_accuracy" in draft
    assert "# The metric is token_accuracy, since the tags are numbers; if they are ids, write the names" in draft
