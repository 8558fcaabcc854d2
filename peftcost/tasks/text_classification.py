"""Text classification: one text, one of several classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from peftcost.data.cells import label_of, text_of
from peftcost.data.features import Split
from peftcost.data.guess import label_column, text_column
from peftcost.data.table import Table
from peftcost.errors import UserError
from peftcost.tasks.base import Baseline, Example
from peftcost.tasks.one_class import OneClass, class_column, majority_rows, rows_of
from peftcost.tasks.targets import Targets
from peftcost.tasks.text_inputs import TextInputs, lengths_of, text_columns, tfidf_predictions

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class TextClassification(TextInputs, OneClass):
    """Rows for the metrics: (predicted class id, true class id)."""

    name = "text-classification"
    input_roles = ("text",)
    target_roles = ("label",)
    auto_model = "AutoModelForSequenceClassification"
    precedence = 90

    def guess_columns(self, table: Table, label: str | None) -> dict[str, str] | None:
        label = label_column(table, label)
        text = text_column(table, [name for name in table.columns if name != label])
        if text is None:
            raise UserError(
                f"{table.path} does not show which column holds the text ({table.listed}); write a task.yaml "
                f"with `columns: {{text: …, label: {label}}}`."
            )
        return {"text": text, "label": label}

    def read(self, table: Table, columns: Mapping[str, str], labelled: bool = True) -> list[Example]:
        found = []
        for i, row in enumerate(table.rows):
            place = table.place(i)
            example = {"text": text_of(row.get(columns["text"]), f"{place}, column {columns['text']!r}"), "place": place}
            if labelled:
                example["label"] = label_of(row.get(columns["label"]), f"{place}, column {columns['label']!r}")
            found.append(example)
        return found

    def content(self, example: Example) -> str:
        return " ".join(example["text"].split())

    def encode(
        self, processor: PreTrainedTokenizerBase, examples: Sequence[Example], targets: Targets | None, max_length: int
    ) -> Split:
        columns = text_columns(processor, [e["text"] for e in examples], max_length)
        return Split({**columns, "targets": class_column(examples, targets)}, lengths_of(columns))

    def baselines(self) -> Mapping[str, Baseline]:
        return {
            "majority": Baseline("the majority class", majority_rows),
            "tfidf": Baseline("TF-IDF with logistic regression", tfidf_rows),
        }


def tfidf_rows(train: Sequence[Example], test: Sequence[Example], targets: Targets) -> np.ndarray | None:
    """TF-IDF with logistic regression; None when no text holds a word of two characters."""
    from sklearn.linear_model import LogisticRegression

    predicted = tfidf_predictions(LogisticRegression(max_iter=1000), train, [e["label"] for e in train], test)
    return None if predicted is None else rows_of([str(label) for label in predicted], test, targets)
