"""Files as people bring them: which task, which metric, which classes come out of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from peftcost.errors import UserError
from peftcost.task.splits import TaskData, load_task_data
from peftcost.task.task import load_task

SENTENCES = [(["Ann", "Lee", "left", "York", str(i)], ["B-PER", "I-PER", "O", "B-LOC", "O"]) for i in range(60)]
BILOU = ["B-PER", "L-PER", "O", "U-LOC", "O"]
BARE = ["B", "I", "O", "B", "O"]


def load(path: Path, content: str) -> TaskData:
    path.write_text(content, encoding="utf-8")
    return load_task_data(load_task(path), 0)


@pytest.mark.parametrize("write", [str, json.dumps])
@pytest.mark.parametrize("name", ["tags", "ner_tags"])
def test_lists_in_csv_cells_are_entities(tmp_path: Path, write: object, name: str) -> None:
    def quoted(value: list[str]) -> str:
        text = str(value) if write is str else json.dumps(value)
        return '"' + text.replace('"', '""') + '"'

    rows = "".join(f"{i},{quoted(tokens)},{quoted(tags)}\n" for i, (tokens, tags) in enumerate(SENTENCES))
    data = load(tmp_path / "ner.csv", f"id,tokens,{name}\n{rows}")
    assert (data.task_type.name, data.metric.name) == ("token-classification", "entity_f1")


@pytest.mark.parametrize("tags", [BILOU, BARE])
def test_other_schemes_are_entities(tmp_path: Path, tags: list[str]) -> None:
    rows = [json.dumps({"tokens": tokens, "tags": tags}) for tokens, _ in SENTENCES]
    assert load(tmp_path / "ner.jsonl", "\n".join(rows)).metric.name == "entity_f1"


def test_a_single_odd_tag_is_named_with_its_row(tmp_path: Path) -> None:
    rows = [json.dumps({"tokens": tokens, "tags": tags}) for tokens, tags in SENTENCES]
    rows[30] = rows[30].replace('"O"', '"0"')
    with pytest.raises(UserError, match="line 31: the tag '0' .* Did you mean 'O'"):
        load(tmp_path / "ner.jsonl", "\n".join(rows))


def test_words_in_rows_need_a_sentence(tmp_path: Path) -> None:
    words = [(i, word, tag) for i, (tokens, tags) in enumerate(SENTENCES) for word, tag in zip(tokens, tags, strict=True)]
    with pytest.raises(UserError, match="one word a row, but not where a sentence ends"):
        load(tmp_path / "ner.csv", "word,label\n" + "".join(f"{word},{tag}\n" for _, word, tag in words))


def test_several_labels_a_row_are_named(tmp_path: Path) -> None:
    rows = [json.dumps({"text": f"a text {i}", "label": ["bad", "shop"]}) for i in range(20)]
    with pytest.raises(UserError, match="multi-label"):
        load(tmp_path / "many.jsonl", "\n".join(rows))
