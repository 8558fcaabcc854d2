"""Files as people bring them: which task, which metric, which classes come out of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from peftcost.data.readers import read_table
from peftcost.data.table import Table
from peftcost.errors import UserError
from peftcost.task.inputs import inputs_of, labelled_of
from peftcost.task.splits import TaskData, load_task_data
from peftcost.task.task import load_task
from peftcost.tasks import get_task_type

SENTENCES = [(["Ann", "Lee", "left", "York", str(i)], ["B-PER", "I-PER", "O", "B-LOC", "O"]) for i in range(60)]
BILOU = ["B-PER", "L-PER", "O", "U-LOC", "O"]
BARE = ["B", "I", "O", "B", "O"]


def load(path: Path, content: str, label: str | None = None) -> TaskData:
    path.write_text(content, encoding="utf-8")
    return load_task_data(load_task(path, label), 0)


@pytest.mark.parametrize("write", [str, json.dumps, "array({!r}, dtype=object)".format])
@pytest.mark.parametrize("name", ["tags", "ner_tags"])
def test_lists_in_csv_cells_are_entities(tmp_path: Path, write: Callable[[object], str], name: str) -> None:
    def quoted(value: list[str]) -> str:
        text = write(value)
        return '"' + text.replace('"', '""') + '"'

    rows = "".join(f"{i},{quoted(tokens)},{quoted(tags)}\n" for i, (tokens, tags) in enumerate(SENTENCES))
    data = load(tmp_path / "ner.csv", f"id,tokens,{name}\n{rows}")
    assert (data.task_type.name, data.metric.name) == ("token-classification", "entity_f1")


@pytest.mark.parametrize("separator", [":", "/", "_"])
def test_letters_are_parted_from_kinds_in_other_ways(tmp_path: Path, separator: str) -> None:
    rows = [
        json.dumps({"tokens": tokens, "tags": [tag.replace("-", separator) for tag in tags]}) for tokens, tags in SENTENCES
    ]
    data = load(tmp_path / "ner.jsonl", "\n".join(rows))
    assert (data.metric.name, data.task_type.stratum(data.train[0])) == ("entity_f1", "PER")
    majority = data.task_type.baselines()["majority"].rows(data.train, data.test, data.targets)
    assert majority is not None and majority[0, 2] == 2, "Ann Lee is one entity, York another"


@pytest.mark.parametrize("outside", ["OTHER", "-", "_", "X"])
def test_a_tag_that_stands_where_others_have_no_o_is_named(tmp_path: Path, outside: str) -> None:
    rows = [
        json.dumps({"tokens": tokens, "tags": [outside if tag == "O" else tag for tag in tags]}) for tokens, tags in SENTENCES
    ]
    with pytest.raises(UserError, match=rf"line \d+: the tag '{outside}' .word 3. .* Did you mean 'O'.*token_accuracy"):
        load(tmp_path / "ner.jsonl", "\n".join(rows))


def test_two_tags_of_which_one_reads_as_a_letter_are_no_entities(tmp_path: Path) -> None:
    rows = [json.dumps({"tokens": ["Ann", f"Bob{i}"], "tags": ["F", "M"]}) for i in range(40)]
    assert load(tmp_path / "gender.jsonl", "\n".join(rows)).metric.name == "token_accuracy"


def test_a_sentence_beside_another_layer_of_tags_holds_the_words(tmp_path: Path) -> None:
    rows = "".join(f'"{tokens}","{["NN"] * len(tokens)}","{tags}"\n' for tokens, tags in SENTENCES)
    assert load(tmp_path / "ner.csv", f"Sentence,POS,Tag\n{rows}").columns == {"tokens": "Sentence", "tags": "Tag"}


@pytest.mark.parametrize(
    "label",
    [[[0, 3, "PER"]], [{"start": 0, "end": 3, "labels": ["PER"]}], [{"start_offset": 0, "end_offset": 3, "label": "PER"}]],
)
def test_parts_of_a_text_by_their_characters_are_told_from_labels(tmp_path: Path, label: list[object]) -> None:
    rows = [json.dumps({"text": " ".join(tokens), "label": label}) for tokens, _ in SENTENCES]
    with pytest.raises(UserError, match="line 1, column 'label': .*marks characters of a text; write its words and a tag"):
        load(tmp_path / "doccano.jsonl", "\n".join(rows))


@pytest.mark.parametrize("tags", [BILOU, BARE])
def test_other_schemes_are_entities(tmp_path: Path, tags: list[str]) -> None:
    rows = [json.dumps({"tokens": tokens, "tags": tags}) for tokens, _ in SENTENCES]
    assert load(tmp_path / "ner.jsonl", "\n".join(rows)).metric.name == "entity_f1"


def test_a_single_odd_tag_is_named_with_its_row(tmp_path: Path) -> None:
    rows = [json.dumps({"tokens": tokens, "tags": tags}) for tokens, tags in SENTENCES]
    rows[30] = rows[30].replace('"O"', '"0"')
    with pytest.raises(UserError, match="line 31: the tag '0' .word 3. .* Did you mean 'O'"):
        load(tmp_path / "ner.jsonl", "\n".join(rows))


SMALL = ["b-per", "i-per", "o", "b-loc", "o"]
KINDS = ["PER", "PER", "O", "LOC", "O"]


@pytest.mark.parametrize("tags", [SMALL, KINDS])
@pytest.mark.parametrize("name", ["ner.jsonl", "ner.txt", "ner.csv"])
def test_small_letters_and_bare_kinds_are_entities(tmp_path: Path, tags: list[str], name: str) -> None:
    write = {
        "ner.jsonl": lambda tokens: json.dumps({"tokens": tokens, "tags": tags}),
        "ner.txt": lambda tokens: "".join(f"{token} {tag}\n" for token, tag in zip(tokens, tags, strict=True)),
        "ner.csv": lambda tokens: f"{' '.join(tokens)},{' '.join(tags)}",
    }[name]
    header = "sentence,tags\n" if name == "ner.csv" else ""
    data = load(tmp_path / name, header + "\n".join(write(tokens) for tokens, _ in SENTENCES))
    assert (data.metric.name, data.task_type.stratum(data.train[0])) == ("entity_f1", tags[0].removeprefix("b-"))
    rows = data.task_type.baselines()["majority"].rows(data.train, data.test, data.targets)
    assert rows is not None and rows[0, 2] == 2, "Ann Lee is one entity, York another"
    assert any("each run of 'LOC' is one entity" in warning for warning in data.warnings) == (tags == KINDS)


@pytest.mark.parametrize("metric", [None, "entity_f1"])
@pytest.mark.parametrize(
    ("odd", "usual", "says"),
    [
        ("B_PER", BILOU, "means the same as 'B-PER'"),
        ("b-per", BILOU, "means the same as 'B-PER'"),
        ("B-PER\u200b", BILOU, "means the same as 'B-PER'"),
        ("B-PER", KINDS, "means the same as 'PER'"),
        ("PER", BILOU, "of no entity scheme|means the same"),
        ("\ufeffB-PER", BILOU, "of no entity scheme"),
        ("b", BILOU, "of no entity scheme"),
        ("0", KINDS, "of no entity scheme.* Did you mean 'O'"),
        ("B-LOC,B-PER", BILOU, "is several tags of one word; keep one, as 'B-LOC'"),
    ],
)
def test_a_tag_that_is_written_in_another_way_is_named(
    tmp_path: Path, odd: str, usual: list[str], says: str, metric: str | None
) -> None:
    rows = [json.dumps({"tokens": tokens, "tags": usual}) for tokens, _ in SENTENCES]
    rows[30] = json.dumps({"tokens": SENTENCES[30][0], "tags": [odd, *usual[1:]]})
    (tmp_path / "ner.jsonl").write_text("\n".join(rows), encoding="utf-8")
    task = load_task(tmp_path / "ner.jsonl").model_copy(update={"metric": metric})
    with pytest.raises(UserError, match=rf"ner.jsonl, line 31: the tag .*\(word 1\).*({says})"):
        load_task_data(task, 0)


@pytest.mark.parametrize("name", ["pos.jsonl", "pos.conll"])
def test_tags_of_no_scheme_are_learnt_as_they_are(tmp_path: Path, name: str) -> None:
    rows = [
        (tokens, [*["NN", "NN-S", "VB", "S", "nn"][i % 3 :], "DT", "DT"][: len(tokens)])
        for i, (tokens, _) in enumerate(SENTENCES)
    ]
    written = {
        "pos.jsonl": "\n".join(json.dumps({"tokens": tokens, "tags": tags}) for tokens, tags in rows),
        "pos.conll": "\n".join("".join(f"{a} {b}\n" for a, b in zip(*row, strict=True)) for row in rows),
    }[name]
    data = load(tmp_path / name, written)
    assert data.metric.name == "token_accuracy" and {"NN", "NN-S", "nn"} <= set(data.targets.names)


def test_tags_that_mean_the_same_are_learnt_where_the_task_says_so(tmp_path: Path) -> None:
    rows = [
        {"tokens": tokens, "tags": ["B_PER" if i < 9 else "B-PER", *BILOU[1:]]} for i, (tokens, _) in enumerate(SENTENCES)
    ]
    (tmp_path / "ner.jsonl").write_text("\n".join(map(json.dumps, rows)))
    task = load_task(tmp_path / "ner.jsonl")
    with pytest.raises(UserError, match="or set `metric: token_accuracy` if they are tags of their own"):
        load_task_data(task.model_copy(update={"metric": None}), 0)
    assert load_task_data(task.model_copy(update={"metric": "token_accuracy"}), 0).metric.name == "token_accuracy"


@pytest.mark.parametrize("name", ["ner.csv", "ner.txt", "ner.conll", "ner.jsonl"])
def test_spaces_around_tags_are_no_part_of_them(tmp_path: Path, name: str) -> None:
    tags = ["B-PER ", "I-PER ", " O", "B-LOC", "O "]
    write = {
        "ner.csv": lambda i, tokens: "".join(f"{i},{token},{tag}\n" for token, tag in zip(tokens, tags, strict=True)),
        "ner.jsonl": lambda i, tokens: json.dumps({"tokens": tokens, "tags": tags}) + "\n",
    }.get(name, lambda i, tokens: "".join(f"{token}\t{tag}\n" for token, tag in zip(tokens, tags, strict=True)) + "\n")
    rows = "".join(write(i, tokens) for i, (tokens, _) in enumerate(SENTENCES))
    data = load(tmp_path / name, f"number,word,tag\n{rows}" if name == "ner.csv" else rows)
    assert data.train[0]["tags"] == ["B-PER", "I-PER", "O", "B-LOC", "O"] and data.metric.name == "entity_f1"
    assert data.unused == [], "the sentence's number is used"


def test_words_in_rows_need_a_sentence(tmp_path: Path) -> None:
    words = [(i, word, tag) for i, (tokens, tags) in enumerate(SENTENCES) for word, tag in zip(tokens, tags, strict=True)]
    with pytest.raises(UserError, match="one word a row, but not where a sentence ends"):
        load(tmp_path / "ner.csv", "word,label\n" + "".join(f"{word},{tag}\n" for _, word, tag in words))


def words_a_row(folder: Path, at: int, column: int, odd: str) -> Path:
    """300 words in rows; one cell of the row in line `at` is odd."""
    rows = [[str(i + 1), word, tag] for i, pair in enumerate(SENTENCES) for word, tag in zip(*pair, strict=True)]
    rows[at - 2][column] = odd
    (folder / "ner.csv").write_text("sentence_id,word,tag\n" + "".join(",".join(row) + "\n" for row in rows))
    return folder / "ner.csv"


@pytest.mark.parametrize(
    ("at", "column", "odd", "says"),
    [
        (104, 1, "", "column 'word': the text is empty"),
        (104, 2, "", "column 'tag': the label is empty"),
        (104, 0, "", "column 'sentence_id': the sentence's number is missing"),
        (102, 0, "", "column 'sentence_id': the sentence's number is missing"),
        (2, 0, "", "column 'sentence_id': the sentence's number is missing"),
        (104, 0, "x", "column 'sentence_id': 'x' is no sentence's number"),
        (104, 0, "1", "column 'sentence_id': the sentence '1' comes back"),
    ],
)
def test_an_odd_cell_beside_one_word_is_named_and_its_sentence_is_left_out_if_bad_rows_are(
    tmp_path: Path, at: int, column: int, odd: str, says: str
) -> None:
    path = words_a_row(tmp_path, at, column, odd)
    with pytest.raises(UserError, match=f"line {at}, {says}"):
        read_table(path)
    table = read_table(path, skip_bad_rows=True)
    assert any(says in told for told in table.rejected)
    assert 57 <= len(table.rows) < 60 and {len(row["word"]) for row in table.rows} == {5}


@pytest.mark.parametrize(("column", "odd"), [(0, "21.0"), (0, "21 "), (1, "New York")])
def test_cells_that_are_no_less_clear_are_read(tmp_path: Path, column: int, odd: str) -> None:
    table = read_table(words_a_row(tmp_path, 104, column, odd))
    assert len(table.rows) == 60 and {len(row["word"]) for row in table.rows} == {5}


@pytest.mark.parametrize(("documents", "sentences", "named"), [(4, 15, False), (30, 2, True)])
def test_sentences_are_counted_anew_in_documents(tmp_path: Path, documents: int, sentences: int, named: bool) -> None:
    rows = [
        f"{f'd{d},' if named else ''}{i},{word},{tag}\n"
        for d in range(documents)
        for i in range(sentences)
        for word, tag in zip(*SENTENCES[d * sentences + i], strict=True)
    ]
    (tmp_path / "ner.csv").write_text(f"{'doc,' if named else ''}sentence_id,word,tag\n" + "".join(rows))
    assert len(read_table(tmp_path / "ner.csv").rows) == 60
    if named:
        task = load_task(tmp_path / "ner.csv").model_copy(update={"group": "doc"})
        data = load_task_data(task, 0)
        assert {e["group"] for e in data.train}.isdisjoint(e["group"] for e in data.dev)


def test_words_with_the_classes_o_and_b_are_no_tags(tmp_path: Path) -> None:
    rows = "".join(f"word{i},{'ob'[i % 2]}\n" for i in range(60))
    assert load(tmp_path / "x.csv", f"text,label\n{rows}").task_type.name == "text-classification"


@pytest.mark.parametrize("header", ["text,spam", "message,spam", "spam,review"])
def test_a_column_may_be_called_as_one_of_its_classes(tmp_path: Path, header: str) -> None:
    cells = [("spam" if i % 2 else "ham", f"a text {i}") for i in range(60)]
    rows = "".join(",".join(pair if header.startswith("spam") else pair[::-1]) + "\n" for pair in cells)
    assert load(tmp_path / "x.csv", f"{header}\n{rows}", label="spam").targets.describe() == "Labels (2): ham, spam"
    with pytest.raises(UserError, match="line 1: is a row where a header should be"):
        load(tmp_path / "y.csv", rows)


@pytest.mark.parametrize("content", ["word,tag\nAnn,B-PER\nleft,O\nhere,O\n", "id,word,tag\n1,Ann,B-PER\n1,left,O\n"])
def test_words_in_rows_are_no_sentences_to_judge_or_predict(tmp_path: Path, content: str) -> None:
    (tmp_path / "x.csv").write_text(content)
    table, kind, columns = read_table(tmp_path / "x.csv"), "token-classification", {"tokens": "word", "tags": "tag"}
    for read in (lambda some: labelled_of(some, get_task_type(kind), columns), lambda some: inputs_of(some, kind, columns)):
        for some in (table, table.only([1])):
            with pytest.raises(UserError, match="column 'word': holds one word a row"):
                read(some)


def test_sentences_of_one_word_are_lists_or_stand_alone() -> None:
    kind, columns = get_task_type("token-classification"), {"tokens": "tokens"}
    for cells in ([["Hi"], ["Bye"]], ["Hi"], ["Hi", "Bye Ann"]):
        table = Table("x.jsonl", ["tokens"], [{"tokens": cell} for cell in cells], list(range(1, len(cells) + 1)))
        assert len(kind.read(table, columns, labelled=False)) == len(cells)


@pytest.mark.parametrize(
    "write",
    [
        lambda labels: json.dumps(labels).replace('"', '""'),
        str,
        "|".join,
        ";".join,
        ", ".join,
    ],
)
def test_several_labels_a_row(tmp_path: Path, write: Callable[[list[str]], str]) -> None:
    combinations = [["bad", "shop"], ["good"], ["good", "shop"], ["late", "bad"]]
    rows = [f'"a text {i}","{write(combinations[i % 4])}"' for i in range(80)]
    data = load(tmp_path / "many.csv", "text,label\n" + "\n".join(rows))
    assert data.task_type.name == "multi-label"
    assert data.targets.describe() == "Labels (4): bad, good, late, shop"


def test_a_column_for_each_label(tmp_path: Path) -> None:
    rows = [f"a text {i},{int(i % 2 == 0)},{int(i % 3 == 0)},{i}" for i in range(80)]
    data = load(tmp_path / "toxic.csv", "comment,rude,threat,number\n" + "\n".join(rows))
    assert data.columns == {"text": "comment", "labels": ["rude", "threat"]}
    examples = [*data.train, *data.dev, *data.test]
    assert sorted(len(e["labels"]) for e in examples) == sorted((i % 2 == 0) + (i % 3 == 0) for i in range(80))


def test_commas_within_classes_are_no_joined_labels(tmp_path: Path) -> None:
    cities = ["New York, NY", "Austin, TX", "Dallas, TX"]
    rows = [f'a text {i},"{cities[i % 3]}"' for i in range(60)]
    assert load(tmp_path / "cities.csv", "text,label\n" + "\n".join(rows)).task_type.name == "text-classification"


@pytest.mark.parametrize("joint", [" ", ",", ", "])
def test_sentences_with_tags_as_texts_are_entities(tmp_path: Path, joint: str) -> None:
    rows = "".join(f'"{" ".join(tokens)}","{joint.join(tags)}"\n' for tokens, tags in SENTENCES)
    data = load(tmp_path / "ner.csv", f"sentence,tags\n{rows}")
    assert (data.columns, data.metric.name) == ({"tokens": "sentence", "tags": "tags"}, "entity_f1")


def test_one_odd_sentence_among_texts_with_tags_is_understood_or_named(tmp_path: Path) -> None:
    rows = [f'{" ".join(tokens)},"{",".join(tags)}"' for tokens, tags in SENTENCES]
    rows[4] = rows[4].replace(" ", "  ", 1)
    data = load(tmp_path / "ner.csv", "sentence,word_labels\n" + "\n".join(rows), label="word_labels")
    assert data.metric.name == "entity_f1"
    rows[20] = rows[20].replace(" York", "")
    with pytest.raises(UserError, match="line 22, column 'word_labels': 5 tags for 4 tokens"):
        load(tmp_path / "ner.csv", "sentence,word_labels\n" + "\n".join(rows), label="word_labels")


def test_a_list_that_is_cut_off_is_named(tmp_path: Path) -> None:
    rows = [f'"{tokens}","{tags}"' for tokens, tags in SENTENCES]
    rows[20] = rows[20].replace("']\",", "'\",", 1)
    with pytest.raises(UserError, match=r"line 22, column 'tokens': begins as a list does .* but is none"):
        load(tmp_path / "ner.csv", "tokens,tags\n" + "\n".join(rows))


@pytest.mark.parametrize("alike", [("1", "true"), ("01", "1"), ("-0", "0"), ("caf\u00e9", "cafe\u0301"), ("Spam", "spam ")])
def test_labels_that_may_be_one_are_told(tmp_path: Path, alike: tuple[str, str]) -> None:
    rows = [f"a text {i},{(*alike, 'other')[i % 3]}" for i in range(90)]
    data = load(tmp_path / "x.csv", "text,label\n" + "\n".join(rows))
    assert any("Labels that may mean the same" in warning for warning in data.warnings)


def test_long_numbers_that_differ_in_the_last_digit_are_not_taken_for_one(tmp_path: Path) -> None:
    rows = [f"a text {i},{('10000001', '10000002', '10000000000000001', '10000000000000002')[i % 4]}" for i in range(90)]
    data = load(tmp_path / "x.csv", "text,label\n" + "\n".join(rows))
    assert not any("Labels that may mean the same" in warning for warning in data.warnings)


def test_sets_of_labels_are_lists_of_them(tmp_path: Path) -> None:
    sets = ["{'bad', 'shop'}", "{'good'}", "set()", "{'it\\'s late', 'bad'}"]
    rows = [f'"a text {i}","{sets[i % 4]}"' for i in range(80)]
    data = load(tmp_path / "many.csv", "text,label\n" + "\n".join(rows))
    assert data.targets.describe() == "Labels (4): bad, good, it's late, shop"


@pytest.mark.parametrize(
    ("begins", "says"),
    [
        ("version https://git-lfs.github.com/spec/v1\noid sha256:4d\n", "git lfs pull"),
        ("<!DOCTYPE html>\n<html>", "web page"),
    ],
)
def test_what_is_often_taken_for_the_data(tmp_path: Path, begins: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        load(tmp_path / "x.csv", begins)
