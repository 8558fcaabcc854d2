"""task.yaml: what it may say, what is wrong with it all at once, and writing it."""

from __future__ import annotations

import string
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from peftcost.errors import UserError
from peftcost.task.draft import draft_task_yaml
from peftcost.task.inputs import read_inputs
from peftcost.task.task import DataFiles, Rows, Task, load_task, task_yaml

GOOD = "".join(f'"text number {i}, about things",{"good" if i % 2 else "bad"}\n' for i in range(40))


def task_file(folder: Path, content: str) -> Path:
    path = folder / "task.yaml"
    path.write_text(content, encoding="utf-8")
    return path


def refused(source: Path | str, *says: str, label: str | None = None) -> str:
    with pytest.raises(UserError) as caught:
        load_task(source, label)
    for words in says:
        assert words in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(("ending", "says"), [(".csv", "There is no data file"), (".yaml", "There is no task file")])
def test_a_path_that_is_too_long_is_no_file(ending: str, says: str) -> None:
    refused("x" * 300 + ending, says)


def test_paths_are_relative_to_the_task_file(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    task = load_task(
        task_file(
            tmp_path,
            "model: base\ntask: text-classification\ndata: {train: train.csv, test: /data/test.csv}\nmargin: 1e-2\n"
            "columns: {text: review, label: stars}\nmethods: lora\nrows: {train: 100}\n",
        )
    )
    assert task.model == str(tmp_path / "base")
    assert task.data == DataFiles(train=str(tmp_path / "train.csv"), test="/data/test.csv")
    assert (task.margin, task.methods, task.rows) == (0.01, ["lora"], Rows(train=100))
    hub = load_task(task_file(tmp_path, "model: somebody/some-model\ndata: builtin:tweets\n"))
    assert (hub.model, hub.data) == ("somebody/some-model", "builtin:tweets")


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    path = task_file(
        tmp_path,
        "task: text-clasification\ndata: {train: a.csv, deev: b.csv}\nmetrik: accuracy\nmargin: -2\nmethods: 7\n"
        "max_length: ten\nrows: {train: 0}\n",
    )
    refused(
        path,
        str(path),
        "'text-clasification'. Did you mean 'text-classification'",
        "unknown field 'data.deev'. Did you mean 'dev'",
        "unknown field 'metrik'. Did you mean 'metric'",
        "'model' is missing",
        "margin: input should be greater than 0, but is -2",
        "methods: ",
        "max_length: ",
        "rows.train: ",
    )


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("task: text-classification\nmetric: f9\n", ["metric: ", "'f9'", "macro_f1"]),
        ("task: text-classification\ncolumns: {txt: a}\n", ["columns: ", "'txt'", "Did you mean 'text'"]),
        ("margin: 1e-4\nmargin: 1e-3\n", ["line 4", "'margin' stands twice"]),
        ("columns: {text: 5}\n", ["columns.text: ", "but is 5"]),
        ("seed: 3\n", ["unknown field 'seed'"]),
        ("margin: 0\n", ["margin: "]),
        ("margin: .nan\n", ["margin: "]),
        ("margin: .inf\n", ["margin: "]),
    ],
)
def test_fields_that_are_wrong(tmp_path: Path, content: str, says: list[str]) -> None:
    path = task_file(tmp_path, f"model: builtin:minilm\ndata: x.csv\n{content}")
    refused(path, str(path), *says)


def test_no_task_file_and_unknown_builtin_say_what_to_do(tmp_path: Path) -> None:
    refused(tmp_path / "task.yaml", "peftcost init FILE.csv", "task='builtin:tweets'")
    refused("builtin:twets", "'twets'", "Did you mean 'tweets'")
    refused("tweets", "builtin:tweets")
    refused("gone.csv", "gone.csv")
    refused(task_file(tmp_path, "model: m\ndata: x.csv\n"), "columns: {label: stars}", label="stars")


def test_a_data_file_is_a_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("reviews.csv").write_text("id,review,stars\n" + "".join(f"{i},{r}" for i, r in enumerate(GOOD.splitlines(True))))
    task = load_task("reviews.csv", "stars")
    assert (task.model, task.task) == ("builtin:minilm", "text-classification")
    assert task.columns == {"text": "review", "label": "stars"}
    assert task.data == str(tmp_path / "reviews.csv")
    assert task.short_name == "reviews"
    assert load_task("reviews.csv").columns == task.columns, "stars are the label, where no column is called so"
    Path("mood.csv").write_text(Path("reviews.csv").read_text().replace("stars", "mood", 1))
    assert load_task("mood.csv").columns == {"text": "review", "label": "mood"}, "nothing else repeats"
    lines = Path("mood.csv").read_text().splitlines()
    Path("moods.csv").write_text(
        "\n".join([f"{lines[0]},place", *(f"{line},{'ab'[i % 2]}" for i, line in enumerate(lines[1:]))])
    )
    refused("moods.csv", "label=", "'id', 'review', 'mood', 'place'")
    refused("reviews.csv", "no column 'star'", "Did you mean 'stars'", label="star")
    Path("two.csv").write_text("a,b,label\nsame length,same lengths,x\n")
    refused("two.csv", "two.csv", "which column holds the text", "'a', 'b', 'label'")


def test_a_file_of_tags_is_token_classification(tmp_path: Path) -> None:
    (tmp_path / "ner.jsonl").write_text('{"id": 1, "words": ["a"], "ner": ["O"]}\n')
    task = load_task(tmp_path / "ner.jsonl", "ner")
    assert (task.task, task.columns) == ("token-classification", {"tokens": "words", "tags": "ner"})
    (tmp_path / "ner.csv").write_text("tokens,tags\na b,O B-x\n")
    assert load_task(tmp_path / "ner.csv").task == "token-classification"


def test_names_for_folders() -> None:
    def named(data: str) -> str:
        return Task(model="m", data=data).short_name

    assert named("builtin:tweets") == "tweets"
    assert named("/home/ann/sentiment/train.csv") == "sentiment"
    assert named("../my data/a&b (1).csv") == "a-b-1"


WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12)
NAMES = st.text(string.ascii_letters, min_size=1, max_size=8)


@given(
    st.builds(
        Task,
        model=NAMES,
        task=st.sampled_from([None, "text-classification"]),
        data=NAMES | st.builds(DataFiles, train=NAMES, dev=st.none() | NAMES),
        columns=st.none() | st.dictionaries(st.sampled_from(["text", "label"]), WORDS, min_size=1),
        metric=st.sampled_from([None, "macro_f1"]),
        margin=st.none() | st.floats(1e-9, 0.5),
        methods=st.none() | st.just("all") | st.lists(NAMES, min_size=1, max_size=3),
        max_length=st.none() | st.integers(4, 512),
        rows=st.none() | st.builds(Rows, train=st.integers(2, 10**6)),
    )
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_written_is_read_again(tmp_path: Path, task: Task) -> None:
    again = load_task(task_file(tmp_path, task_yaml(task)))
    here = {name: str(tmp_path / path) for name, path in task.files.model_dump(exclude_none=True).items()}
    assert again.files.model_dump(exclude_none=True) == here
    assert again.model_dump() == task.model_dump() | {"data": again.model_dump()["data"]}
    assert load_task(task_file(tmp_path, task_yaml(again))) == again


def test_json_of_a_task_is_the_task() -> None:
    task = load_task("builtin:wnut16").model_copy(update={"rows": Rows(dev=5)})
    assert Task.model_validate(task.model_dump(mode="json")) == task


def test_a_draft_is_a_task_that_loads(tmp_path: Path) -> None:
    (tmp_path / "reviews.csv").write_text("review,stars\n" + GOOD)
    text = draft_task_yaml(tmp_path / "reviews.csv", "stars", folder=tmp_path)
    assert "bad, good" in text
    assert "data: reviews.csv" in text
    assert "# methods:" in text
    assert load_task(task_file(tmp_path, text)).columns == {"text": "review", "label": "stars"}


@pytest.mark.parametrize("field", ["margin", "methods", "max_length", "rows", "splits", "group", "time", "skip_bad_rows"])
def test_a_draft_offers_each_field_as_a_comment_that_loads(field: str, tmp_path: Path) -> None:
    (tmp_path / "reviews.csv").write_text("review,stars\n" + GOOD)
    text = draft_task_yaml(tmp_path / "reviews.csv", "stars", folder=tmp_path)
    task = load_task(task_file(tmp_path, text.replace(f"\n# {field}: ", f"\n{field}: ")))
    assert getattr(task, field) is not None


def test_a_draft_tells_the_columns_that_are_not_used(tmp_path: Path) -> None:
    rows = "".join(f"what is {i},,a number {i},qa,{i}\n" for i in range(9))
    (tmp_path / "dolly.csv").write_text("instruction,context,response,category,id\n" + rows)
    assert "\n# Not used: 'category', 'id'\n" in draft_task_yaml(tmp_path / "dolly.csv")


def test_a_draft_chooses_a_metric_that_suits_the_labels(tmp_path: Path) -> None:
    (tmp_path / "pos.csv").write_text("tokens,tags\n" + "a b,DT NN\n" * 5)
    assert load_task(task_file(tmp_path, draft_task_yaml(tmp_path / "pos.csv"))).metric == "token_accuracy"


def test_the_drafted_margin_is_that_of_the_metric(tmp_path: Path) -> None:
    (tmp_path / "answers.csv").write_text("prompt,completion\n" + "".join(f"what is {i},a number {i}\n" for i in range(20)))
    assert "\n# margin: 0.02  #" in draft_task_yaml(tmp_path / "answers.csv")


def test_a_draft_of_unusable_data_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "one.csv").write_text("text,label\na,x\nb,x\n")
    with pytest.raises(UserError, match=r"one\.csv, column 'label': .*only the label 'x'"):
        draft_task_yaml(tmp_path / "one.csv")


def test_inputs_without_labels(tmp_path: Path) -> None:
    path = tmp_path / "new.csv"
    path.write_text("text\nfirst\nsecond\n")
    columns = {"text": "review", "label": "stars"}
    assert [e["text"] for e in read_inputs(path, "text-classification", columns)] == ["first", "second"]
    path.write_text("tokens\nfirst word\n")
    assert [e["tokens"] for e in read_inputs(path, "token-classification", {})] == [["first", "word"]]
    path.write_text("review,other\nfirst,x\n,y\n")
    with pytest.raises(UserError, match=r"new\.csv, line 3, column 'review'"):
        read_inputs(path, "text-classification", {"text": "review"})
    with pytest.raises(UserError, match=r"new\.csv has no column 'text'.*'review', 'other'"):
        read_inputs(path, "text-classification", {})
