"""The metrics against the libraries that everybody knows, and their speed under the bootstrap."""

from __future__ import annotations

import time
import tracemalloc
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score

from peftcost.tasks.metrics import accuracy, entity_f1, macro_f1, span_row, spans, token_accuracy

TAGS = st.sampled_from(["O", "B-a", "I-a", "B-b-c", "I-b-c", "E-a", "S-a", "E-b-c", "S-b-c"])
SENTENCES = st.lists(st.lists(st.tuples(TAGS, TAGS), min_size=1, max_size=9), min_size=1, max_size=6)


@given(SENTENCES, st.data())
@settings(max_examples=150, deadline=None)
def test_entity_f1_is_seqevals(pairs: list[list[tuple[str, str]]], data: st.DataObject) -> None:
    """On the whole, and on a resample in which a sentence stands as often as its weight says."""
    from seqeval.metrics import accuracy_score as seqeval_accuracy
    from seqeval.metrics import f1_score as seqeval_f1

    predicted = [[p for p, _ in sentence] for sentence in pairs]
    true = [[t for _, t in sentence] for sentence in pairs]
    rows = np.array([span_row(p, t) for p, t in zip(predicted, true, strict=True)], dtype=np.float32)
    times = data.draw(st.lists(st.integers(0, 3), min_size=len(pairs), max_size=len(pairs)).filter(any))
    weights = np.array([np.ones(len(pairs)), times])
    again = [i for i, n in enumerate(times) for _ in range(n)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        f1 = [seqeval_f1(true, predicted), seqeval_f1([true[i] for i in again], [predicted[i] for i in again])]
        right = seqeval_accuracy(true, predicted)
    assert entity_f1(rows, weights) == pytest.approx(f1)
    assert token_accuracy(rows, weights)[0] == pytest.approx(right)


@given(st.lists(TAGS, max_size=12))
@settings(max_examples=200, deadline=None)
def test_spans_are_seqevals(tags: list[str]) -> None:
    from seqeval.metrics.sequence_labeling import get_entities

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert spans(tags) == {(start, end + 1, kind) for kind, start, end in get_entities(tags)}


def test_an_inside_tag_without_a_beginning_begins_a_span() -> None:
    assert spans(["O", "I-a", "I-a", "I-b", "B-b"]) == {(1, 3, "a"), (3, 4, "b"), (4, 5, "b")}


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=30), st.data())
@settings(max_examples=150, deadline=None)
def test_accuracy_and_macro_f1_are_scikit_learns(pairs: list[tuple[int, int]], data: st.DataObject) -> None:
    times = data.draw(st.lists(st.integers(0, 3), min_size=len(pairs), max_size=len(pairs)).filter(any))
    again = np.repeat(np.arange(len(pairs)), times)
    rows = np.array(pairs, dtype=np.float32)
    weights = np.array([np.ones(len(pairs)), times])
    for weight, chosen in zip(weights, (np.arange(len(pairs)), again), strict=True):
        predicted, true = rows[chosen].T
        assert accuracy(rows, weight[None])[0] == pytest.approx(accuracy_score(true, predicted))
        expected = f1_score(true, predicted, average="macro", zero_division=0)
        assert macro_f1(rows, weight[None])[0] == pytest.approx(expected)


def test_macro_f1_values_do_not_depend_on_chunks() -> None:
    random = np.random.default_rng(0)
    rows = random.integers(0, 7, (50, 2)).astype(np.float32)
    weights = random.multinomial(50, np.full(50, 1 / 50), size=600)
    one_by_one = [macro_f1(rows, weight[None])[0] for weight in weights]
    assert macro_f1(rows, weights) == pytest.approx(one_by_one)


def test_macro_f1_of_a_bootstrap_is_quick_and_small() -> None:
    random = np.random.default_rng(0)
    rows = random.integers(0, 150, (4000, 2)).astype(np.float32)
    weights = random.multinomial(4000, np.full(4000, 1 / 4000), size=2000).astype(np.float64)
    tracemalloc.start()
    macro_f1(rows, weights)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    start = time.perf_counter()
    macro_f1(rows, weights)
    assert time.perf_counter() - start < 2
    assert peak < weights.nbytes / 2


def test_nothing_to_find_and_nothing_found_is_zero_not_nan() -> None:
    rows = np.array([span_row(["O", "O"], ["O", "O"])], dtype=np.float32)
    assert entity_f1(rows, np.ones((2, 1))).tolist() == [0, 0]
    assert token_accuracy(rows, np.zeros((1, 1))).tolist() == [0]


@pytest.mark.parametrize(
    "tags",
    [
        ["B-PER", "I-PER", "O", "B-LOC", "B-LOC"],  # IOB2
        ["I-PER", "I-PER", "O", "I-LOC", "B-LOC"],  # IOB1
        ["B-PER", "E-PER", "O", "S-LOC", "S-LOC"],  # IOBES
        ["B-PER", "L-PER", "O", "U-LOC", "U-LOC"],  # BILOU
        ["B-PER", "E-PER", "O", "W-LOC", "W-LOC"],  # BMEWO
        ["PER-B", "PER-I", "O", "LOC-B", "LOC-B"],
        ["B_PER", "I_PER", "O", "B_LOC", "B_LOC"],
    ],
)
def test_all_schemes_mean_the_same_spans(tags: list[str]) -> None:
    assert spans(tags) == {(0, 2, "PER"), (3, 4, "LOC"), (4, 5, "LOC")}


def test_bare_tags_and_tags_of_no_scheme() -> None:
    assert spans(["B", "I", "O", "B", "B"]) == {(0, 2, ""), (3, 4, ""), (4, 5, "")}
    assert spans(["0", "NOUN", "O"]) == set()
