"""Text classification: tensors, loss, rows and baselines."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

from peftcost.task.splits import load_task_data
from peftcost.task.task import Rows, load_task
from peftcost.tasks import get_task_type

KIND = get_task_type("text-classification")
LABELS = ["bad", "fair", "good"]


def example(text: str, label: str) -> dict[str, str]:
    return {"text": text, "label": label, "place": "x.csv, line 2"}


def test_texts_are_cut_and_not_padded(minilm: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(minilm)
    examples = [example("one", "good"), example("word " * 50, "bad"), example("\u200b", "fair")]
    ids, targets = KIND.tokenize(tokenizer, examples, LABELS, max_length=8)
    assert [len(row) for row in ids] == [3, 8, 2]
    assert targets == [[2], [0], [1]]
    assert KIND.collate_targets(targets, 8).tolist() == [2, 0, 1]
    assert KIND.tokenize(tokenizer, [], LABELS, 8) == ([], [])


def test_loss_is_summed_cross_entropy_in_fp32_with_smoothing() -> None:
    logits, targets = torch.randn(5, 3, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 2, 1, 1, 0])
    log = logits.log_softmax(-1)
    loss, n = KIND.loss(logits, targets)
    assert n == 5
    assert loss.item() == pytest.approx(-log[range(5), targets].sum().item(), rel=1e-6)
    smoothed, _ = KIND.loss(logits, targets, 0.1)
    assert smoothed.item() == pytest.approx(0.9 * loss.item() - 0.1 * log.mean(-1).sum().item(), rel=1e-5)
    assert KIND.loss(logits.bfloat16(), targets)[0].dtype == torch.float32
    none, n = KIND.loss(logits[:0].requires_grad_(), targets[:0])
    assert (none.item(), n, none.requires_grad) == (0.0, 0, True)


def test_rows_and_descriptions() -> None:
    logits = torch.tensor([[0.0, 1.0, 0.0], [3.0, 0.0, 0.0]])
    rows = KIND.predict(logits, torch.tensor([1, 2]), LABELS)
    assert rows.dtype == np.float32
    assert rows.tolist() == [[1, 1], [0, 2]]
    described = KIND.describe(logits, torch.tensor([0, 0]), LABELS)
    assert [row["label"] for row in described] == ["fair", "bad"]
    assert sum(described[0][f"probability_{label}"] for label in LABELS) == pytest.approx(1)


def test_baselines_on_real_tweets() -> None:
    task = load_task("builtin:tweets").model_copy(update={"rows": Rows(train=1500, dev=10, test=1000)})
    data = load_task_data(task, 0)
    one = np.ones((1, 1000))
    majority = data.metric.compute(KIND.majority_rows(data.train, data.test, data.labels), one)[0]
    tfidf = data.metric.compute(KIND.tfidf_rows(data.train, data.test, data.labels), one)[0]
    assert majority == pytest.approx(16186 / 38158, abs=0.003)
    assert tfidf > majority + 0.15


def test_tfidf_without_words_is_no_baseline() -> None:
    rows = [example("a", "bad"), example("b", "good")]
    assert KIND.tfidf_rows(rows, rows, LABELS) is None


def test_a_text_to_predict_needs_no_label(minilm: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(minilm)
    ids, targets = KIND.tokenize(tokenizer, [KIND.unlabelled("some text", LABELS)], LABELS, 16)
    assert len(ids[0]) == 4
    assert len(targets[0]) == 1
