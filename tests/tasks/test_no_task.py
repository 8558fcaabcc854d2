"""Data of tasks that are not trained are called by name, with what can be learnt of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from peftcost.data.readers import read_table
from peftcost.errors import UserError
from peftcost.task.columns import fit_columns, guess_columns

TEXT = {"text": "Ann left"}
CHOICES = r"holds multiple choice .its choices stand in {}.*\"prompt\": .*\"completion\""
MARKS = r"column '{}' that marks characters of a text; write its words and a tag for each"
ANSWERS = r"holds questions whose answers are places.*\"prompt\": .*\"completion\""
TRIPLETS = r"for embeddings.*\"text_pair\": .*\"label\": 1"


def written(folder: Path, rows: list[Any]) -> Path:
    path = folder / "data.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"context": "A b", "question": "Who?", "answers": {"text": ["A"], "answer_start": [0]}}, ANSWERS),
        ({"context": "A b", "question": "Who?", "answers": "{'text': ['A'], 'answer_start': [0]}"}, ANSWERS),
        ({"title": "A", "paragraphs": [{"context": "A", "qas": [{"answers": [{"answer_start": 0}]}]}]}, ANSWERS),
        ({"anchor": "a cat", "positive": "one cat", "negative": "a dog"}, TRIPLETS),
        ({"query": "a cat", "pos": ["one cat"], "neg": ["a dog"]}, TRIPLETS),
        ({**TEXT, "entities": [[0, 3, "PER"]]}, MARKS.format("entities")),
        ({**TEXT, "spans": [{"start": 0, "end": 3, "label": "PER"}]}, MARKS.format("spans")),
        ({**TEXT, "entities": [{"start_offset": 0, "end_offset": 3}], "relations": []}, MARKS.format("entities")),
        ({"question": "Who?", "choices": ["a", "b"], "answer": 0}, CHOICES.format("'choices'")),
        ({"question": "Who?", "choices": {"text": ["a", "b"]}, "answerKey": "B"}, CHOICES.format("'choices'")),
        ({"sent1": "She", "ending0": "a", "ending1": "b", "label": 1}, CHOICES.format("'ending0' to 'ending1'")),
    ],
)
def test_such_rows_are_refused_with_the_shape_that_is_read(row: dict[str, Any], told: str, tmp_path: Path) -> None:
    table = read_table(written(tmp_path, [{"id": str(i), **row} for i in range(30)]))
    with pytest.raises(UserError, match=told):
        guess_columns(table, None)
    if "text" not in row:  # a task.yaml that names no columns takes a text for one to be written
        with pytest.raises(UserError, match=told):
            fit_columns(table, None, None)


@pytest.mark.parametrize("whole", [True, False])
def test_spacys_json_is_refused_with_the_shape_that_is_read(whole: bool, tmp_path: Path) -> None:
    rows = [["Ann left", {"entities": [[0, 3, "PER"]]}]] * 9
    (tmp_path / "data.json").write_text(json.dumps({"classes": ["PER"], "annotations": rows} if whole else rows))
    with pytest.raises(UserError, match="line 1: marks characters of a text; write its words and a tag for each"):
        read_table(tmp_path / "data.json")


@pytest.mark.parametrize(
    ("row", "task"),
    [
        ({"tokens": ["Ann", "left"], "tags": ["B-PER", "O"], "entities": [[0, 3, "PER"]]}, "token-classification"),
        ({**TEXT, "label": "x", "spans": [{"start": 0, "end": 3}]}, "text-classification"),
        ({"prompt": "Who? A) a B) b", "completion": "A", "choices": ["a", "b"]}, "causal-lm"),
        ({**TEXT, "positive": 1, "negative": 0}, None),
        ({"sentence": "Ann left", "word_labels": "B-PER,O"}, "token-classification"),
    ],
)
def test_what_is_read_stays_so_beside_such_columns(row: dict[str, Any], task: str | None, tmp_path: Path) -> None:
    rows = [row, {**row, **({"label": "y"} if "label" in row else {"positive": 0, "negative": 1} if not task else {})}]
    kind, _ = guess_columns(read_table(written(tmp_path, rows * 15)), None)
    assert kind.name == (task or "multi-label")


def test_joined_tags_of_other_numbers_are_named_with_their_row(tmp_path: Path) -> None:
    table = read_table(written(tmp_path, [{"sentence": "Ann has left", "word_labels": "B-PER,O"}] * 9))
    with pytest.raises(UserError, match="line 1, column 'word_labels': 2 tags of words, but 'sentence' has 3 words"):
        guess_columns(table, None)
