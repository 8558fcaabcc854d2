"""Every example of docs/data.md is read as the page says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from peftcost.data.readers import read_table
from peftcost.task.columns import guess_columns
from peftcost.task.task import Task

PAGE = (Path(__file__).parent.parent.parent / "docs" / "data.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize(
    ("begins", "ending", "task", "rows"),
    [
        ("text,label\n", ".csv", "text-classification", 2),
        ('{"text"', ".jsonl", "text-classification", 1),
        ("comment,rude", ".csv", "multi-label", 2),
        ('{"comment"', ".jsonl", "multi-label", 1),
        ("Ann B-PER", ".txt", "token-classification", 2),
        ("tokens,ner_tags", ".csv", "token-classification", 1),
        ("Sentence #", ".csv", "token-classification", 1),
    ],
)
def test_an_example_is_what_the_page_says(tmp_path: Path, begins: str, ending: str, task: str, rows: int) -> None:
    (content,) = [content for _, content in BLOCKS if content.startswith(begins)]
    file = tmp_path / f"example{ending}"
    file.write_text(content, encoding="utf-8")
    table = read_table(file)
    kind, columns = guess_columns(table, None)
    assert (kind.name, len(kind.read(table, columns))) == (task, rows)


def test_joined_labels(tmp_path: Path) -> None:
    (content,) = [content for _, content in BLOCKS if content.startswith("text,labels")]
    header, *rows = content.splitlines()
    file = tmp_path / "x.csv"
    file.write_text("\n".join([header, *rows * 4, "Late,late", "Rude,rude"]), encoding="utf-8")
    kind, columns = guess_columns(table := read_table(file), None)
    assert [example["labels"] for example in kind.read(table, columns)][:2] == [["late", "rude"], []]


def test_parts_of_a_task_are_valid() -> None:
    for language, content in BLOCKS:
        if language == "yaml":
            Task.model_validate({"model": "builtin:minilm", "data": "x.csv", **yaml.safe_load(content)})
