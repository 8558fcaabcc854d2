"""From files to splits: nothing leaks, nothing unusable passes, and every complaint names its place."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from peftcost.errors import UserError
from peftcost.task.splits import TaskData, load_task_data
from peftcost.task.task import DataFiles, Rows, Task, load_task

ROWS = [(f"text number {i}", "good" if i % 3 else "bad") for i in range(90)]


def write(path: Path, rows: list[tuple[str, object]]) -> str:
    lines = [json.dumps({"text": text, "label": label}) for text, label in rows]
    path.write_text("\n".join(lines), encoding="utf-8")
    return str(path)


def task_of(folder: Path, **splits: list[tuple[str, object]]) -> Task:
    files = {name: write(folder / f"{name}.jsonl", rows) for name, rows in splits.items()}
    return Task(model="builtin:minilm", task="text-classification", data=DataFiles(**files))


def texts(data: TaskData, split: str) -> list[str]:
    return [example["text"] for example in getattr(data, split)]


def refused(task: Task, *says: str) -> None:
    with pytest.raises(UserError) as caught:
        load_task_data(task, 0)
    for words in says:
        assert words in str(caught.value)


def test_tweets_split_stratified_with_copies_on_one_side() -> None:
    data = load_task_data(load_task("builtin:tweets"), seed=0)
    assert data.targets.names == ("negative", "neutral", "positive")
    assert (len(data.train), len(data.dev), len(data.test)) == (30158, 4000, 4000)
    content = {split: {data.task_type.content(e) for e in getattr(data, split)} for split in ("train", "dev", "test")}
    assert not content["train"] & content["dev"] | content["train"] & content["test"] | content["dev"] & content["test"]
    for split in (data.train, data.dev, data.test):
        counts = Counter(e["label"] for e in split)
        for label, rows in (("negative", 16186), ("neutral", 15018), ("positive", 6954)):
            assert counts[label] / len(split) == pytest.approx(rows / 38158, abs=0.003)
    assert any("925 rows are copies" in text for text in data.warnings)
    assert any("different labels" in text and "line" in text for text in data.warnings)


def test_wnut16_splits_know_all_their_tags() -> None:
    data = load_task_data(load_task("builtin:wnut16"), seed=1)
    assert data.metric.name == "entity_f1"
    assert data.margin == 0.01
    known = {tag for example in data.train for tag in example["tags"]}
    assert known == set(data.targets.names)
    with_entities = [sum(e["tags"] != ["O"] * len(e["tags"]) for e in s) / len(s) for s in (data.train, data.test)]
    assert with_entities[0] == pytest.approx(with_entities[1], abs=0.02)


def test_seed_decides_and_file_names_do_not(tmp_path: Path) -> None:
    task = task_of(tmp_path, train=ROWS)
    (tmp_path / "elsewhere").mkdir()
    moved = task_of(tmp_path / "elsewhere", train=ROWS)
    first, again, other = load_task_data(task, 0), load_task_data(moved, 0), load_task_data(task, 1)
    assert first.fingerprint == again.fingerprint
    assert texts(first, "test") == texts(again, "test") != texts(other, "test")
    assert first.fingerprint != other.fingerprint


@pytest.mark.parametrize("split", ["train", "dev", "test"])
def test_fingerprint_sees_every_text_and_label(tmp_path: Path, split: str) -> None:
    rows = {"train": ROWS, "dev": [("dev one", "good")], "test": [("test one", "bad")]}
    before = load_task_data(task_of(tmp_path, **rows), 0).fingerprint
    text, label = rows[split][0]
    for changed in ((text + "!", label), (text, "bad" if label == "good" else "good")):
        assert load_task_data(task_of(tmp_path, **{**rows, split: [changed, *rows[split][1:]]}), 0).fingerprint != before


def test_copies_of_dev_and_test_leave_train(tmp_path: Path) -> None:
    dev, test = [ROWS[0], ("new", "good")], [("  text   number 1 ", "good"), ("new", "good"), ("newer", "bad")]
    data = load_task_data(task_of(tmp_path, train=ROWS, dev=dev, test=test), 0)
    assert texts(data, "train") == [text for text, _ in ROWS[2:]]
    assert texts(data, "dev") == [ROWS[0][0]]
    assert len(data.test) == 3
    assert "1 row of train also stood in test and was dropped." in data.warnings
    assert "1 row of dev also stood in test and was dropped." in data.warnings
    assert "1 row of train also stood in dev and was dropped." in data.warnings


def test_copies_within_a_given_split_are_told(tmp_path: Path) -> None:
    """Else four copies of each dev row halve all intervals, untold."""
    dev, test = [("new", "good"), ("newer", "bad")], [("newest", "bad")]
    data = load_task_data(task_of(tmp_path, train=[*ROWS, ROWS[0]], dev=dev * 4, test=test), 0)
    assert len(data.dev) == 8
    assert data.warnings[:2] == [
        "1 row of train is a copy of another row of it: they weigh more in training.",
        "6 rows of dev are copies of another row of it: intervals count them as one.",
    ]
    data = load_task_data(task_of(tmp_path, train=ROWS, dev=dev * 2), 0)
    assert any(warning.startswith("2 rows of dev are copies") for warning in data.warnings)


def test_rows_that_differ_from_train_by_capitals_alone_are_told(tmp_path: Path) -> None:
    dev, test = [("TEXT number 1", "good"), ("new", "bad")], [("newest", "bad")]
    data = load_task_data(task_of(tmp_path, train=ROWS, dev=dev, test=test), 0)
    assert (len(data.train), len(data.dev)) == (90, 2)
    assert "1 row of dev also stood in train but for capital letters" in data.warnings[-1]


def test_a_given_split_of_which_nothing_is_left_is_named(tmp_path: Path) -> None:
    dev = [("new", "good"), ("newer", "bad")]
    refused(
        task_of(tmp_path, train=ROWS, dev=dev, test=dev), "dev.jsonl: no row is left for the dev split", "2 rows of dev also"
    )


def test_contradicting_labels_are_told_with_both_places(tmp_path: Path) -> None:
    data = load_task_data(task_of(tmp_path, train=[*ROWS, (ROWS[4][0], "bad")]), 0)
    (warning,) = [text for text in data.warnings if "different labels" in text]
    assert "train.jsonl, line 5 and" in warning
    assert "train.jsonl, line 91)" in warning


@given(st.lists(st.tuples(st.integers(0, 25), st.sampled_from("abc")), min_size=30, max_size=90), st.integers(0, 5))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_data_either_splits_cleanly_or_is_refused(tmp_path: Path, rows: list[tuple[int, str]], seed: int) -> None:
    task = task_of(tmp_path, train=[(f"text {i}", label) for i, label in rows])
    try:
        data = load_task_data(task, seed)
    except UserError:
        return
    assert len(data.train) + len(data.dev) + len(data.test) == len(rows)
    assert len(data.train) >= len(rows) / 2
    sides = [set(texts(data, split)) for split in ("train", "dev", "test")]
    assert not sides[0] & sides[1] | sides[0] & sides[2] | sides[1] & sides[2]
    assert {e["label"] for e in [*data.dev, *data.test]} <= {e["label"] for e in data.train}


def test_very_rare_classes_stay_in_train(tmp_path: Path) -> None:
    data = load_task_data(task_of(tmp_path, train=[*ROWS, ("rare", "one"), ("rare a", "two"), ("rare b", "two")]), 0)
    assert data.targets.names == ("bad", "good", "one", "two")
    assert {e["label"] for e in data.dev} == {e["label"] for e in data.test} == {"bad", "good"}


def test_row_limits_take_a_stratified_part_after_splitting(tmp_path: Path) -> None:
    task = task_of(tmp_path, train=ROWS)
    whole = load_task_data(task, 0)
    part = load_task_data(task.model_copy(update={"rows": Rows(train=12, test=3)}), 0)
    assert Counter(e["label"] for e in part.train) == {"good": 8, "bad": 4}
    assert len(part.test) == 3
    assert part.dev == whole.dev
    for split in ("train", "test"):
        assert set(texts(part, split)) < set(texts(whole, split))


def test_labels_of_all_kinds_become_strings(tmp_path: Path) -> None:
    numbers = [(text, 10 if label == "good" else 2) for text, label in ROWS]
    mixed = [(text, float(label) if i % 2 else str(label)) for i, (text, label) in enumerate(numbers)]
    assert load_task_data(task_of(tmp_path, train=mixed), 0).targets.names == ("2", "10")
    booleans = [(text, label == "good") for text, label in ROWS]
    assert load_task_data(task_of(tmp_path, train=booleans), 0).targets.names == ("False", "True")


def test_a_class_may_be_called_nan(tmp_path: Path) -> None:
    named = [(text, "nan" if label == "good" else "naan") for text, label in ROWS]
    assert load_task_data(task_of(tmp_path, train=named), 0).targets.names == ("naan", "nan")


def test_one_number_written_in_two_ways_is_one_class(tmp_path: Path) -> None:
    ratings = [(text, ("1", "1.0", "2", "2.0")[i % 4]) for i, (text, _) in enumerate(ROWS)]
    data = load_task_data(task_of(tmp_path, train=ratings, dev=[("x", "1"), ("y", 2.0)]), 0)
    assert data.targets.names == ("1", "2")


def test_rows_that_are_not_usable_name_file_line_and_column(tmp_path: Path) -> None:
    for text in ("", " \n", None, 7, ["a"], float("nan"), "\ud83d"):
        refused(task_of(tmp_path, train=[*ROWS, (text, "bad")]), "train.jsonl, line 91, column 'text'")
    for label in ("", "  ", None, float("nan"), ["a"], {"a": 1}):
        refused(task_of(tmp_path, train=[*ROWS, ("x", label)]), "train.jsonl, line 91, column 'label'")
    refused(task_of(tmp_path, train=ROWS, dev=[("x", "good"), ("", "bad")]), "dev.jsonl, line 2, column 'text'")


def test_labels_that_cannot_be_learnt(tmp_path: Path) -> None:
    refused(task_of(tmp_path, train=[(t, "good") for t, _ in ROWS]), "train.jsonl, column 'label'", "only the label")
    refused(task_of(tmp_path, train=[(t, t) for t, _ in ROWS]), "train.jsonl, column 'label'", "90 different labels")
    refused(
        task_of(tmp_path, train=ROWS, dev=[("x", "good"), ("y", "goood")]),
        "dev.jsonl, line 2",
        "'goood'",
        "Did you mean 'good'",
    )
    refused(task_of(tmp_path, train=ROWS, test=[("x", "ugly")]), "test.jsonl, line 1", "'ugly'", "test split")


def test_the_same_file_twice_and_splits_that_come_out_empty(tmp_path: Path) -> None:
    train = write(tmp_path / "train.jsonl", ROWS)
    task = Task(model="m", task="text-classification", data=DataFiles(train=train, dev=train))
    refused(task, "train and dev are the same data", "train.jsonl")
    refused(task_of(tmp_path, train=ROWS, dev=ROWS), "train.jsonl", "90 rows of train also stood in dev")
    refused(task_of(tmp_path, train=ROWS[:4]), "train.jsonl", "too few different rows")


def test_columns_missing_from_a_file(tmp_path: Path) -> None:
    task = task_of(tmp_path, train=ROWS).model_copy(update={"columns": {"text": "txt"}})
    refused(task, "train.jsonl", "no column 'txt'", "Did you mean 'text'")
    task = task_of(tmp_path, train=ROWS, dev=[("x", "good")])
    (tmp_path / "dev.jsonl").write_text('{"text": "x", "lable": "good"}')
    refused(task, "dev.jsonl", "no column 'label'", "Did you mean 'lable'")


def test_task_and_columns_are_inferred(tmp_path: Path) -> None:
    (tmp_path / "ner.tsv").write_text("tokens\ttags\n" + "".join(f"Ann saw {i}\tB-x O O\n" for i in range(30)))
    data = load_task_data(Task(model="m", data=str(tmp_path / "ner.tsv")), 0)
    assert data.task_type.name == "token-classification"
    assert data.columns == {"tokens": "tokens", "tags": "tags"}
    assert data.train[0]["tags"] == ["B-x", "O", "O"]
    (tmp_path / "x.csv").write_text("x,y\na,b\n")
    refused(Task(model="builtin:minilm", data=str(tmp_path / "x.csv")), "x.csv", "'x', 'y'", "fits no task")


def test_a_task_without_columns_means_what_its_data_file_alone_means(tmp_path: Path) -> None:
    """Not a language model of the texts, only because one column is called `text`."""
    rows = [f"the film {i} was {word},{label}" for i in range(20) for word, label in (("fine", "pos"), ("dull", "neg"))]
    (tmp_path / "x.csv").write_text("\n".join(["text,sentiment", *rows]))
    data = load_task_data(Task(model="builtin:minilm", data=str(tmp_path / "x.csv")), 0)
    assert (data.task_type.name, data.columns) == ("text-classification", {"text": "text", "label": "sentiment"})


def test_token_rows_that_are_not_usable(tmp_path: Path) -> None:
    good = [{"tokens": ["a", f"b{i}"], "tags": ["O", "B-x"]} for i in range(30)]

    def load(*rows: dict[str, object], metric: str | None = None) -> TaskData:
        path = tmp_path / "ner.jsonl"
        path.write_text("\n".join(map(json.dumps, [*good, *rows])))
        return load_task_data(Task(model="m", data=str(path), metric=metric), 0)

    for row, says in (
        ({"tokens": ["a"], "tags": ["O", "O"]}, "2 tags for 1 tokens"),
        ({"tokens": [], "tags": []}, "is empty"),
        ({"tokens": ["a", ""], "tags": ["O", "O"]}, "text is empty"),
        ({"tokens": ["a"], "tags": [None]}, "label is missing"),
        ({"tokens": None, "tags": ["O"]}, "expected a list"),
    ):
        with pytest.raises(UserError, match=r"ner\.jsonl, line 31, column 't\w+': .*" + says):
            load(row)
    with pytest.raises(UserError, match=r"ner\.jsonl, line 31: the tag '3' .*token_accuracy"):
        load({"tokens": ["a"], "tags": [3]})
    assert "3" in load({"tokens": ["a"], "tags": [3]}, metric="token_accuracy").targets.names
