"""Words with their tags: a word a line, or a row, becomes a sentence a row."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest
from reading import read

from peftcost.data.readers.conll import parse_conll

SENTENCES = [(["Ann", '"', "left"], ["B-PER", "O", "O"]), (["in", "York"], ["O", "B-LOC"])]


@pytest.mark.parametrize("name", ["x.conll", "x.txt", "x.tsv", "x.bio"])
@pytest.mark.parametrize("between", [" ", "\t"])
def test_conll_files(tmp_path: Path, name: str, between: str) -> None:
    lines = ["-DOCSTART- -X- -X-", "", "# sent 1"]
    for tokens, tags in SENTENCES:
        lines += [between.join((token, "NN", tag)) for token, tag in zip(tokens, tags, strict=True)] + [""]
    table = read(tmp_path, name, "\r\n".join(lines))
    assert [(row["tokens"], row["tags"]) for row in table.rows] == SENTENCES
    assert table.columns == ["tokens", "column 2", "tags"]


def test_conll_with_counted_words_and_two_layers_of_tags(tmp_path: Path) -> None:
    content = "#\turl\n1\tAnn\tB-PER\tO\n2\tleft\tO\tO\n\n#\turl\n1\tYork\tB-LOC\tO\n"
    table = read(tmp_path, "germeval.tsv", content)
    assert table.rows[0] == {"tokens": ["Ann", "left"], "column 3": ["B-PER", "O"], "tags": ["O", "O"]}
    assert "tags are part 4 of each line; part 3 (`column 3`) marks entities, too" in table.notes[0]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("x.txt", "-DOCSTART-\n\nAnn B-PER\nleft O\n\nin O\nYork B-LOC\n", []),
        ("x.tsv", "# a tweet\nAnn\tB-PER\nleft\tO\n\n# a tweet\nin\tO\nYork\tB-LOC\n", []),
        ("x.conll", "Ann\tB-PER\nleft\tO\n \nin\tO\nYork\tB-LOC\n", []),
        ("x.txt", "Ann B-PER NNP\nleft O VBD\n\nin O IN\nYork B-LOC NNP\n", ["part 2 of each line"]),
    ],
)
def test_conll_as_it_is_found(tmp_path: Path, name: str, content: str, told: list[str]) -> None:
    table = read(tmp_path, name, content)
    expected = [(["Ann", "left"], ["B-PER", "O"]), (["in", "York"], ["O", "B-LOC"])]
    assert [(row["tokens"], row["tags"]) for row in table.rows] == expected
    assert len(table.notes) == len(told)
    assert all(words in note for words, note in zip(told, table.notes, strict=True))


def test_a_last_part_of_types_without_a_scheme_stays_the_tags(tmp_path: Path) -> None:
    table = read(tmp_path, "x.conll", "Ann B-NP PER\nleft O O\n\nYork B-NP LOC\nis O O\n")
    assert table.rows[0]["tags"] == ["PER", "O"]


def test_reading_a_conll_file_takes_little_more_memory_than_its_rows() -> None:
    text = "".join(f"word{i % 50}\tO\nAnn\tB-PER\nand\tO\n{i}\tO\n\n" for i in range(2000))
    tracemalloc.start()
    table = parse_conll("x.conll", text)
    kept, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(table.rows) == 2000
    assert peak < 1.7 * kept, f"{peak / kept:.1f} times what is kept"


def test_a_no_break_space_in_a_conll_word_parts_nothing(tmp_path: Path) -> None:
    table = read(tmp_path, "x.conll", "10\u00a0000 O\nAnn B-PER\n")
    assert table.rows == [{"tokens": ["10\u00a0000", "Ann"], "tags": ["O", "B-PER"]}]


@pytest.mark.parametrize("name", ["movies.bio", "movies.txt"])
def test_tags_may_stand_before_their_words(tmp_path: Path, name: str) -> None:
    """As in MIT's movie and restaurant corpora."""
    table = read(tmp_path, name, "O\tfilms\nO\twith\nB-ACTOR\tsteve\nI-ACTOR\tmartin\n\nO\tB-movies\nB-GENRE\tnoir\n")
    assert [row["tokens"] for row in table.rows] == [["films", "with", "steve", "martin"], ["B-movies", "noir"]]
    assert table.rows[0]["tags"] == ["O", "O", "B-ACTOR", "I-ACTOR"]
    assert "its tags are part 1 of each line, its words part 2." in table.notes[0]


@pytest.mark.parametrize(
    "content",
    [
        "Sentence #,Word,Tag\nSentence: 1,Ann,B-PER\n,left,O\nSentence: 2,York,B-LOC\n,is,O\n",
        "sent_id,token,ner\n1,Ann,B-PER\n1,left,O\n2,York,B-LOC\n2,is,O\n",
        "block,w,ner\n7,Ann,B-PER\n7,left,O\n8,York,B-LOC\n8,is,O\n",
        "sentence_id,word,tag\ns0,Ann,B-PER\ns0,left,O\ns1,York,B-LOC\ns1,is,O\n",
        "sentence_id,word,tag\ndoc1_s3,Ann,B-PER\ndoc1_s3,left,O\ndoc2_s1,York,B-LOC\ndoc2_s1,is,O\n",
        "word,tag\nAnn,B-PER\nleft,O\n\nYork,B-LOC\nis,O\n",
    ],
)
def test_words_become_sentences(tmp_path: Path, content: str) -> None:
    table = read(tmp_path, "x.csv", content)
    assert [list(row.values())[-2:] for row in table.rows] == [
        [["Ann", "left"], ["B-PER", "O"]],
        [["York", "is"], ["B-LOC", "O"]],
    ]
    assert "2 sentences" in table.notes[-1]


@pytest.mark.parametrize(
    "content",
    [
        "sentence_id,word\n1,Ann\n1,left\n2,York\n2,is\n",
        "word,pos\nAnn,N\nleft,V\n\nYork,N\nis,V\n",
        "word,tag\nAnn,O\nleft,O\n\nYork,O\nis,O\n",
    ],
)
def test_words_without_entities_become_sentences(tmp_path: Path, content: str) -> None:
    table = read(tmp_path, "x.csv", content)
    assert [row["word"] for row in table.rows] == [["Ann", "left"], ["York", "is"]]


@pytest.mark.parametrize(
    "content",
    [
        "sentence,label\nit rained,good\nit rained,bad\nwe left,good\nwe left,bad\n",
        "user,word\n1,good\n1,bad\n2,good\n2,bad\n",
        "id,text,label\n1,good soup,B\n2,bad soup,A\n",
    ],
)
def test_other_rows_stay_rows(tmp_path: Path, content: str) -> None:
    assert len(read(tmp_path, "x.csv", content).rows) == content.count("\n") - 1


@pytest.mark.parametrize("name", ["word", "text"])
def test_stray_blank_lines_make_no_sentences(tmp_path: Path, name: str) -> None:
    assert len(read(tmp_path, "x.csv", f"{name},label\n\ngood,1\n\nbad,0\n\nfine,1\n").rows) == 3
    assert len(read(tmp_path, "y.csv", "text,label\ngood,1\nbad,0\n\nfine,1\nnice,1\n").rows) == 4


def test_one_word_a_row_below_a_header_is_no_conll(tmp_path: Path) -> None:
    sentence = "Ann\tB-PER\nleft\tO\nYork\tB-LOC\n\n"
    table = read(tmp_path, "x.tsv", f"word\ttag\n{sentence * 3}")
    assert [row["word"] for row in table.rows] == [["Ann", "left", "York"]] * 3
