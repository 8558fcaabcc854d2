"""Token classification: which sub-token carries the tag, and that truncation is not rewarded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import ByteLevelBPETokenizer
from transformers import AutoTokenizer, GPT2TokenizerFast, PreTrainedTokenizerBase

from peftcost.data.builtin import builtin_table
from peftcost.data.features import Split
from peftcost.tasks import get_task_type
from peftcost.tasks.batch import Batch
from peftcost.tasks.metrics import entity_f1, span_row, token_accuracy
from peftcost.tasks.targets import Classes
from peftcost.tasks.text_inputs import load_tokenizer

KIND = get_task_type("token-classification")
LABELS = Classes(("B-x", "I-x", "O"))
B, I, O, NO = 0, 1, 2, -100  # noqa: E741


@pytest.fixture(scope="module")
def tokenizer(minilm: Path) -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(minilm)


def encoded(
    tokenizer: PreTrainedTokenizerBase, rows: list[dict[str, object]], max_length: int, targets: Classes | None = LABELS
) -> tuple[Split, list[list[int]], list[list[int]]]:
    """The split, its token ids and its targets."""
    split = KIND.encode(tokenizer, rows, targets, max_length)
    ids, wanted = ([split.columns[name][i].tolist() for i in range(len(split))] for name in ("input_ids", "targets"))
    return split, ids, wanted


def batch_of(tokenizer: PreTrainedTokenizerBase, split: Split, max_length: int) -> Batch:
    return KIND.collate(split, np.arange(len(split)), KIND.padding(tokenizer), max_length)


def example(words: str, tags: str) -> dict[str, object]:
    return {"tokens": words.split(" "), "tags": tags.split(" "), "place": "x.csv, line 2"}


def test_the_first_sub_token_carries_the_tag(tokenizer: PreTrainedTokenizerBase) -> None:
    _, ids, targets = encoded(tokenizer, [example("Krzyzewski won again", "B-x O O")], 32)
    pieces = tokenizer.convert_ids_to_tokens(ids[0])
    carrying = [piece for piece, target in zip(pieces, targets[0], strict=True) if target != NO]
    assert carrying == ["k", "won", "again"]
    assert [t for t in targets[0] if t != NO] == [B, O, O]
    assert targets[0][0] == targets[0][-1] == NO


def test_a_word_that_the_tokenizer_drops_keeps_its_tag(tokenizer: PreTrainedTokenizerBase) -> None:
    """In the middle, at the end, or all there is."""
    for words, tags in (("a \u200b b", [O, B, I]), ("a \ufffd", [O, B]), ("\u0301", [B])):
        row = {"tokens": words.split(" "), "tags": [LABELS.names[t] for t in tags], "place": ""}
        _, ids, targets = encoded(tokenizer, [row], 32)
        assert [t for t in targets[0] if t != NO] == tags
        assert len(targets[0]) == len(ids[0])
        assert tokenizer.unk_token_id in ids[0]


def test_words_lost_to_truncation_count_as_predicted_outside(tokenizer: PreTrainedTokenizerBase) -> None:
    rows = [example("one two three four five six", "B-x I-x O O B-x O"), example("one two", "B-x O")]
    split, ids, targets = encoded(tokenizer, rows, 5)
    assert [len(row) for row in ids] == [5, 4]
    assert targets[0] == [NO, B, I, O, NO, O, B, O]
    batch = batch_of(tokenizer, split, 5)
    perfect = torch.nn.functional.one_hot(batch.targets[:, :5].clamp(min=0), 3).float() * 10
    found = KIND.predict(perfect, batch, LABELS)
    assert found.tolist() == [[1, 1, 2, 5, 6, 1, 1, 2], [1, 1, 1, 2, 2, 1, 1, 1]]
    assert entity_f1(found, np.ones((1, 2)))[0] == pytest.approx(0.8)
    assert token_accuracy(found, np.ones((1, 2)))[0] == pytest.approx(7 / 8)
    loss, n = KIND.loss(perfect, batch)
    assert n == 5  # words that the model cannot see are not trained on
    assert loss.item() < 0.01
    assert KIND.describe(perfect, batch, LABELS)[0]["tags"] == ["B-x", "I-x", "O", "O", "O", "O"]


def test_a_narrower_cut_by_the_batch_counts_the_same(tokenizer: PreTrainedTokenizerBase) -> None:
    """Virtual tokens leave a method less room than the data were tokenized for."""
    split, _, _ = encoded(tokenizer, [example("one two three", "O O B-x")], 32)
    batch = batch_of(tokenizer, split, 3)
    (row,) = KIND.predict(torch.zeros(1, 3, 3), batch, LABELS).tolist()
    assert row[2:5] == [1, 0, 3] and row[5:] == row[:3], "there is one kind of entity"


def test_loss_ignores_padding_and_is_zero_without_targets() -> None:
    logits = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    targets = torch.tensor([[NO, B, O, NO], [NO, I, NO, NO]])
    loss, n = KIND.loss(logits, Batch({}, targets, 4), 0.1)
    expected = sum(
        torch.nn.functional.cross_entropy(logits[i, j][None], targets[i, j][None], label_smoothing=0.1)
        for i, j in ((0, 1), (0, 2), (1, 1))
    )
    assert n == 3
    assert loss.item() == pytest.approx(float(expected.detach()), rel=1e-5)
    nothing, n = KIND.loss(logits, Batch({}, torch.full((2, 4), NO), 4), 0.1)
    nothing.backward()
    assert (nothing.item(), n) == (0.0, 0)
    assert not logits.grad.any()


def test_real_tweets_keep_every_word(tokenizer: PreTrainedTokenizerBase) -> None:
    examples = KIND.read(builtin_table("wnut16"), {"tokens": "tokens", "tags": "tags"})
    labels = KIND.targets(examples)
    for max_length in (16, 128):
        _, ids, targets = encoded(tokenizer, examples, max_length, labels)
        assert max(map(len, ids)) <= max_length
        for row, target in zip(examples, targets, strict=True):
            assert [labels.names[t] for t in target if t != NO] == row["tags"]


def test_majority_is_outside_everywhere() -> None:
    rows = [example("a b c", "B-x O O"), example("a b", "O O")]
    (majority,) = KIND.baselines().values()
    assert majority.rows(rows, rows, LABELS).tolist() == [[0, 0, 1, 2, 3], [0, 0, 0, 2, 2]]


def test_words_to_predict_need_no_tags(tokenizer: PreTrainedTokenizerBase) -> None:
    blank = {"tokens": ["Ann", "saw", "Krzyzewski"], "place": ""}
    split, ids, _ = encoded(tokenizer, [blank], 32, None)
    described = KIND.describe(torch.zeros(1, len(ids[0]), 3), batch_of(tokenizer, split, 32), LABELS)
    assert len(described[0]["tags"]) == len(described[0]["probabilities"]) == 3


def test_byte_level_tokenizers_see_the_space_before_each_word(tmp_path: Path) -> None:
    byte_level = ByteLevelBPETokenizer()
    byte_level.train_from_iterator(["say hello world"] * 50, vocab_size=300)
    byte_level.save_model(str(tmp_path))
    files = {"vocab": str(tmp_path / "vocab.json"), "merges": str(tmp_path / "merges.txt")}
    GPT2TokenizerFast(**files).save_pretrained(tmp_path / "model")
    words = load_tokenizer(tmp_path / "model", pre_split=True)(["say", "hello", "world"], is_split_into_words=True)
    assert words.tokens()[-2:] == ["Ġhello", "Ġworld"]


def test_each_kind_of_entity_is_counted() -> None:
    """As seqeval does: whole entities, of the right kind."""
    targets = Classes(("B-city", "B-person", "I-city", "I-person", "O"))
    kinds = KIND.class_names(targets)
    assert list(kinds) == ["city", "person"]
    true = ["B-person", "I-person", "O", "B-city", "O", "B-city"]
    said = ["B-person", "O", "O", "B-city", "O", "B-person"]
    rows = np.array([span_row(said, true, kinds), span_row(["O"], ["O"], kinds)], dtype=np.float32)
    assert KIND.class_counts(rows, 2).tolist() == [[1, 1, 2], [0, 2, 1]]
    assert KIND.class_counts(rows[:, :5], 2) is None, "as earlier versions wrote them"
    assert list(KIND.class_names(Classes(("NOUN", "VERB")))) == []
