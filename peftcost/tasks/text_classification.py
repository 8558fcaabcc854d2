"""Text classification: one text, one of several classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from peftcost.data.cells import label_of, text_of
from peftcost.data.table import Table
from peftcost.errors import UserError
from peftcost.tasks.base import Example, Metric, TaskType
from peftcost.tasks.metrics import accuracy, macro_f1

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

FEWEST_ROWS_A_LABEL = 2.0
"""On average; a column with fewer is an id, a number or a text, not a class."""

IMBALANCE = 4
"""The most frequent class has this many times the rows of the rarest: accuracy would hardly see the rare one."""


class TextClassification(TaskType):
    """Rows for the metrics: (predicted class id, true class id)."""

    name = "text-classification"
    roles = ("text", "label")
    metrics = {  # noqa: RUF012
        "accuracy": Metric("accuracy", 0.01, accuracy),
        "macro_f1": Metric("macro_f1", 0.01, macro_f1),
    }
    auto_model = "AutoModelForSequenceClassification"

    def inputs(self, table: Table, column: str) -> list[Any]:
        return [text_of(row.get(column), f"{table.place(i)}, column {column!r}") for i, row in enumerate(table.rows)]

    def examples(self, table: Table, columns: Mapping[str, str]) -> list[Example]:
        texts, column = self.inputs(table, columns["text"]), columns["label"]
        found = []
        for i, text in enumerate(texts):
            place = table.place(i)
            label = label_of(table.rows[i].get(column), f"{place}, column {column!r}")
            found.append({"text": text, "label": label, "place": place})
        return found

    def label_names(self, example: Example) -> list[str]:
        return [example["label"]]

    def default_metric(self, train: Sequence[Example]) -> tuple[str, str | None]:
        counts = Counter(e["label"] for e in train).most_common()
        (largest, most), (rarest, fewest) = counts[0], counts[-1]
        if most < IMBALANCE * fewest:
            return "accuracy", None
        return "macro_f1", (
            f"The metric is macro_f1, since the classes are unbalanced ({most} rows of {largest!r}, {fewest} of {rarest!r}); "
            "set `metric: accuracy` if each row counts the same."
        )

    def labels(self, train: Sequence[Example]) -> list[str]:
        found = super().labels(train)
        if len(found) > 2 and len(train) / len(found) < FEWEST_ROWS_A_LABEL:
            raise UserError(
                f"{len(found)} different labels in {len(train)} rows are too many to learn from (for example "
                f"{found[0]!r}); is this the label column?"
            )
        return found

    def stratum(self, example: Example) -> str:
        return str(example["label"])

    def content(self, example: Example) -> str:
        return " ".join(example["text"].split())

    def unlabelled(self, content: Any, labels: Sequence[str]) -> Example:
        return {"text": content, "label": labels[0], "place": ""}

    def tokenize(
        self,
        tokenizer: PreTrainedTokenizerBase,
        examples: Sequence[Example],
        labels: Sequence[str],
        max_length: int,
    ) -> tuple[list[list[int]], list[list[int]]]:
        if not examples:
            return [], []
        class_id = {label: i for i, label in enumerate(labels)}
        ids = tokenizer([e["text"] for e in examples], truncation=True, max_length=max_length)["input_ids"]
        # a text of nothing but characters that the tokenizer drops still has to be an input
        ids = [row or [tokenizer.eos_token_id or 0] for row in ids]
        return ids, [[class_id[e["label"]]] for e in examples]

    def loss(self, logits: torch.Tensor, targets: torch.Tensor, label_smoothing: float = 0.0) -> tuple[torch.Tensor, int]:
        from torch.nn.functional import cross_entropy

        loss = cross_entropy(logits.float(), targets, reduction="sum", label_smoothing=label_smoothing)
        return loss, len(targets)

    def collate_targets(self, targets: Sequence[Sequence[int]], width: int) -> torch.Tensor:
        import torch

        return torch.tensor([row[0] for row in targets], dtype=torch.long)

    def predict(self, logits: torch.Tensor, targets: torch.Tensor, labels: Sequence[str]) -> np.ndarray:
        predicted = logits.argmax(dim=-1)
        return np.stack([predicted.cpu().numpy(), targets.cpu().numpy()], axis=1).astype(np.float32)

    def majority_rows(self, train: Sequence[Example], test: Sequence[Example], labels: Sequence[str]) -> np.ndarray:
        counts = Counter(e["label"] for e in train)
        majority = max(labels, key=lambda label: counts[label])
        return self._rows([majority] * len(test), test, labels)

    def tfidf_rows(self, train: Sequence[Example], test: Sequence[Example], labels: Sequence[str]) -> np.ndarray | None:
        """Words and pairs of words, sublinear counts; None when no text holds a word of two characters."""
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression

        vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
        try:
            features = vectorizer.fit_transform([e["text"] for e in train])
        except ValueError:  # empty vocabulary
            return None
        model = LogisticRegression(max_iter=1000).fit(features, [e["label"] for e in train])
        predicted = model.predict(vectorizer.transform([e["text"] for e in test]))
        return self._rows([str(label) for label in predicted], test, labels)

    def describe(self, logits: torch.Tensor, targets: torch.Tensor, labels: Sequence[str]) -> list[dict[str, Any]]:
        probabilities = logits.float().softmax(dim=-1).cpu().numpy()
        return [
            {
                "label": labels[int(row.argmax())],
                **{f"probability_{label}": float(p) for label, p in zip(labels, row, strict=True)},
            }
            for row in probabilities
        ]

    def _rows(self, predicted: Sequence[str], test: Sequence[Example], labels: Sequence[str]) -> np.ndarray:
        class_id = {label: i for i, label in enumerate(labels)}
        pairs = [(class_id[p], class_id[e["label"]]) for p, e in zip(predicted, test, strict=True)]
        return np.array(pairs, dtype=np.float32).reshape(-1, 2)
