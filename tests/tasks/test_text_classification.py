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
from peftcost.tasks.batch import Batch
from peftcost.tasks.targets import Classes

KIND = get_task_type("text-classification")
LABELS = Classes(("bad", "fair", "good"))


def batch_of(targets: torch.Tensor) -> Batch:
    return Batch({"input_ids": torch.zeros(len(targets), 4)}, targets, 4)


def example(text: str, label: str) -> dict[str, str]:
    return {"text": text, "label": label, "place": "x.csv, line 2"}


def test_texts_are_cut_and_not_padded(minilm: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(minilm)
    examples = [example("one", "good"), example("word " * 50, "bad"), example("\u200b", "fair")]
    split = KIND.encode(tokenizer, examples, LABELS, max_length=8)
    assert split.lengths.tolist() == [3, 8, 2]
    batch = KIND.collate(split, np.array([0, 2]), KIND.padding(tokenizer), 8)
    assert batch.targets.tolist() == [2, 1]
    assert batch.inputs["attention_mask"].tolist() == [[1, 1, 1], [1, 1, 0]]
    assert batch.inputs["input_ids"][1, 2] == tokenizer.pad_token_id
    assert len(KIND.encode(tokenizer, [], LABELS, 8)) == 0


def test_loss_is_summed_cross_entropy_in_fp32_with_smoothing() -> None:
    logits, targets = torch.randn(5, 3, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 2, 1, 1, 0])
    log = logits.log_softmax(-1)
    loss, n = KIND.loss(logits, batch_of(targets))
    assert n == 5
    assert loss.item() == pytest.approx(-log[range(5), targets].sum().item(), rel=1e-6)
    smoothed, _ = KIND.loss(logits, batch_of(targets), 0.1)
    assert smoothed.item() == pytest.approx(0.9 * loss.item() - 0.1 * log.mean(-1).sum().item(), rel=1e-5)
    assert KIND.loss(logits.bfloat16(), batch_of(targets))[0].dtype == torch.float32
    none, n = KIND.loss(logits[:0].requires_grad_(), batch_of(targets[:0]))
    assert (none.item(), n, none.requires_grad) == (0.0, 0, True)


def test_rows_and_descriptions() -> None:
    logits = torch.tensor([[0.0, 1.0, 0.0], [3.0, 0.0, 0.0]])
    rows = KIND.predict(logits, batch_of(torch.tensor([1, 2])), LABELS)
    assert rows.dtype == np.float32
    assert rows[:, :2].tolist() == [[1, 1], [0, 2]]
    np.testing.assert_allclose(rows[:, 2:], logits.softmax(-1))
    described = KIND.describe(logits, batch_of(torch.tensor([0, 0])), LABELS)
    assert [row["label"] for row in described] == ["fair", "bad"]
    assert sum(described[0][f"probability_{label}"] for label in LABELS.names) == pytest.approx(1)


def test_baselines_on_real_tweets() -> None:
    task = load_task("builtin:tweets").model_copy(update={"rows": Rows(train=1500, dev=10, test=1000)})
    data = load_task_data(task, 0)
    one = np.ones((1, 1000))
    majority, tfidf = (
        data.metric.compute(KIND.baselines()[name].rows(data.train, data.test, data.targets), one)[0]
        for name in ("majority", "tfidf")
    )
    assert majority == pytest.approx(16186 / 38158, abs=0.003)
    assert tfidf > majority + 0.15


def test_tfidf_without_words_is_no_baseline() -> None:
    rows = [example("a", "bad"), example("b", "good")]
    assert KIND.baselines()["tfidf"].rows(rows, rows, LABELS) is None


def test_a_text_to_predict_needs_no_label(minilm: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(minilm)
    split = KIND.encode(tokenizer, [{"text": "some text", "place": ""}], None, 16)
    assert split.lengths.tolist() == [4]
    assert KIND.collate(split, np.array([0]), KIND.padding(tokenizer), 16).targets.shape == (1,)
