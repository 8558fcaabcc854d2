"""Two texts a row, and several columns as one text."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from peftcost.data.readers import read_table
from peftcost.errors import UserError
from peftcost.task.columns import fit_columns, guess_columns
from peftcost.task.draft import draft_task_yaml
from peftcost.task.inputs import read_inputs
from peftcost.task.splits import load_task_data
from peftcost.task.task import load_task, validate_task
from peftcost.tasks import get_task_type
from peftcost.tasks.targets import Classes
from peftcost.tasks.text_inputs import text_columns

KIND = get_task_type("text-classification")
LABELS = Classes(("no", "yes"))


def write(folder: Path, head: str, row: str, n: int = 40) -> Path:
    file = folder / "pairs.csv"
    file.write_text(head + "\n" + "".join(row.format(i=i, label="yes" if i % 2 else "no") + "\n" for i in range(n)))
    return file


def pair(first: str, second: str) -> dict[str, str]:
    return {"text": first, "text_pair": second, "label": "yes", "place": "x.csv, line 2"}


def test_the_second_text_has_its_own_segment_and_the_longer_one_is_cut(minilm: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(minilm)
    split = KIND.encode(tokenizer, [pair("one", "word " * 50), pair("word " * 50, "two three")], LABELS, max_length=10)
    batch = KIND.collate(split, np.arange(2), KIND.padding(tokenizer), 10)
    texts = tokenizer.batch_decode(batch.inputs["input_ids"])
    assert texts[0].split() == ["[CLS]", "one", "[SEP]", *["word"] * 6, "[SEP]"]
    assert texts[1].split() == ["[CLS]", *["word"] * 5, "[SEP]", "two", "three", "[SEP]"]
    assert batch.inputs["token_type_ids"].tolist() == [[0] * 3 + [1] * 7, [0] * 7 + [1] * 3]


def test_a_line_stands_between_two_texts_where_the_tokenizer_puts_nothing() -> None:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    model = Tokenizer(models.BPE({character: i for i, character in enumerate(alphabet)}, []))
    model.pre_tokenizer, model.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=model)
    split = KIND.encode(tokenizer, [pair("good", "bad")], LABELS, 16)
    assert tokenizer.decode(split.columns["input_ids"][0].tolist(), skip_special_tokens=True) == "good\nbad"


@pytest.mark.parametrize(
    ("head", "names"),
    [
        ("sentence1,sentence2,label", ("sentence1", "sentence2")),
        ("idx,premise,hypothesis,label", ("premise", "hypothesis")),
        ("id,Question1,Question2,label", ("Question1", "Question2")),
        ("query,passage,label", ("query", "passage")),
        ("text_a,text_b,label", ("text_a", "text_b")),
        ("text,text_pair,label", ("text", "text_pair")),
    ],
)
def test_known_names_of_pairs_are_found(tmp_path: Path, head: str, names: tuple[str, str]) -> None:
    row = ",".join(
        "{i}" if name in ("id", "idx") else "{label}" if name == "label" else "some " + name + " {i}"
        for name in head.split(",")
    )
    kind, columns = guess_columns(read_table(write(tmp_path, head, row)), None)
    assert (kind.name, columns) == ("text-classification", {"text": names[0], "text_pair": names[1], "label": "label"})


def test_fractions_are_a_regression_and_whole_numbers_are_classes(tmp_path: Path) -> None:
    fractions = read_table(write(tmp_path, "sentence1,sentence2,score", "a {i} b,b {i} c,{i}.5"))
    kind, columns = guess_columns(fractions, "score")
    assert (kind.name, columns) == ("regression", {"text": "sentence1", "text_pair": "sentence2", "value": "score"})
    whole = read_table(write(tmp_path, "text,stars", "a {i} b,1.0"))
    assert guess_columns(whole, "stars")[0].name == "text-classification"


def test_inference_predicts_from_both_texts_and_from_one_alone_never(tmp_path: Path) -> None:
    columns = {"text": "premise", "text_pair": "hypothesis", "label": "label"}
    file = write(tmp_path, "premise,hypothesis", "a {i},b {i}", 3)
    assert [(e["text"], e["text_pair"]) for e in read_inputs(file, "text-classification", columns)] == [
        (f"a {i}", f"b {i}") for i in range(3)
    ]
    file = write(tmp_path, "text,premise", "a {i},b {i}", 3)
    with pytest.raises(UserError, match="no column 'hypothesis' for the text_pair"):
        read_inputs(file, "text-classification", columns)


def test_pairs_with_the_same_first_text_are_no_copies(tmp_path: Path) -> None:
    task = load_task(write(tmp_path, "sentence1,sentence2,label", "the same,b {i} c,{label}"), "label")
    data = load_task_data(task, 0)
    assert len(data.train) + len(data.dev) + len(data.test) == 40
    assert not any("cop" in warning or "different labels" in warning for warning in data.warnings)


def test_tfidf_sees_what_both_texts_share() -> None:
    def made(n: int, seed: int) -> list[dict[str, str]]:
        random = np.random.default_rng(seed)
        found = []
        for i in range(n):
            first, other = random.choice(12, 3, replace=False), random.choice(12, 3, replace=False)
            words = [" ".join(f"word{k}" for k in which) for which in (first, first if i % 2 else other)]
            found.append(pair(*words) | {"label": "yes" if i % 2 else "no"})
        return found

    rows = KIND.baselines()["tfidf"].rows(made(400, 0), made(100, 1), LABELS)
    assert rows is not None
    assert np.mean(rows[:, 0] == rows[:, 1]) > 0.85


def test_several_columns_are_one_text(tmp_path: Path) -> None:
    file = write(tmp_path, "headline,body,label", "head {i},,{label}", 20)
    file.write_text(file.read_text() + "last,its body,yes\n")
    columns = {"text": ["headline", "body"], "label": "label"}
    task = validate_task(
        {"model": "builtin:minilm", "task": "text-classification", "data": str(file), "columns": columns}, "x"
    )
    table = read_table(file)
    kind, filled = fit_columns(table, task.task, task.columns)
    assert filled == columns
    texts = [example["text"] for example in kind.read(table, filled)]
    assert texts[0] == "head 0"
    assert texts[-1] == "last\nits body"
    assert [e["text"] for e in read_inputs(file, kind.name, filled)] == texts
    file.write_text("headline,body,label\n,,yes\n")
    with pytest.raises(UserError, match=r"line 2, column 'headline' \+ 'body': the text is missing"):
        kind.read(read_table(file), filled)


@pytest.mark.parametrize(
    ("columns", "problem"),
    [
        ({"text": "headline", "label": ["a", "b"]}, "'label' takes one column"),
        ({"text": [], "label": "a"}, "columns"),
    ],
)
def test_only_texts_take_several_columns(columns: dict[str, object], problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        validate_task({"model": "m", "task": "text-classification", "data": "x.csv", "columns": columns}, "task.yaml")


def test_a_list_of_columns_names_the_one_that_is_not_there(tmp_path: Path) -> None:
    table = read_table(write(tmp_path, "headline,label", "head {i},{label}", 3))
    with pytest.raises(UserError, match="no column 'headlin' for the text"):
        fit_columns(table, "text-classification", {"text": ["headline", "headlin"], "label": "label"})


def test_the_draft_of_a_pair_file_is_a_task_that_loads(tmp_path: Path) -> None:
    file = write(tmp_path, "premise,hypothesis,label", "a {i} b,c {i},{label}")
    (tmp_path / "task.yaml").write_text(draft_task_yaml(file, folder=tmp_path))
    data = load_task_data(load_task(tmp_path / "task.yaml"), 0)
    assert data.columns == {"text": "premise", "text_pair": "hypothesis", "label": "label"}


def test_long_answers_are_no_classes(tmp_path: Path) -> None:
    row = "what about {i}?,it is a long answer that says number {i} in a sentence"
    file = write(tmp_path, "question,label", row, 40)
    file.write_text(file.read_text() + "".join(line + "\n" for line in file.read_text().splitlines()[1:]) * 3)
    with pytest.raises(UserError, match="texts, not classes"):
        draft_task_yaml(file)


def test_chunks_of_texts_make_the_same_columns(minilm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = AutoTokenizer.from_pretrained(minilm)
    texts, pairs = [f"text {'word ' * (i % 5)}{i}" for i in range(11)], [f"other {i}" for i in range(11)]
    whole = text_columns(tokenizer, texts, 12, pairs)
    monkeypatch.setattr("peftcost.tasks.text_inputs.CHUNK", 4)
    chunked = text_columns(tokenizer, texts, 12, pairs)
    assert set(whole) == set(chunked) == {"input_ids", "token_type_ids"}
    for name, column in whole.items():
        np.testing.assert_array_equal(chunked[name].values, column.values)
        np.testing.assert_array_equal(chunked[name].offsets, column.offsets)
