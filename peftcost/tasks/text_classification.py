"""Text classification: one text, or two, and one of several classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from peftcost.data.cells import label_of
from peftcost.data.features import Split
from peftcost.data.guess import MOST_CLASSES, SCORE_NAMES, label_column, said_as
from peftcost.data.numbers import is_number
from peftcost.data.table import Table
from peftcost.errors import UserError
from peftcost.tasks.base import Baseline, Columns, Example
from peftcost.tasks.one_class import OneClass, class_column, majority_rows, rows_of
from peftcost.tasks.one_text_or_two import OneTextOrTwo, guess_texts, read_texts
from peftcost.tasks.targets import Classes, Targets, expect
from peftcost.tasks.text_inputs import lengths_of, tfidf_predictions

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


LONG_LABEL, MANY_LABELS = 5, 20
"""Words of a label on average, and different labels, above which they are answers, not classes."""


class TextClassification(OneTextOrTwo, OneClass):
    """Rows for the metrics: (predicted class id, true class id)."""

    name = "text-classification"
    target_roles = ("label",)
    auto_model = "AutoModelForSequenceClassification"
    precedence = 90

    def guess_columns(self, table: Table, label: str | None) -> dict[str, Any] | None:
        label = label_column(table, label)
        return {**guess_texts(table, label), "label": label}

    def otherwise(self, table: Table, columns: Columns) -> str | None:
        """Numbers that are called a score, and many different ones, may be learnt as such."""
        numbers = [row.get(columns["label"]) for row in table.rows]
        most = 2 if columns["label"].lower() in SCORE_NAMES else MOST_CLASSES
        if not all(map(is_number, numbers)) or len(set(map(str, numbers))) <= most:
            return None
        how = said_as("regression", columns, role="value", instead="label")
        return f"{columns['label']!r} holds whole numbers, which are taken for classes; to learn them as numbers {how}"

    def read(self, table: Table, columns: Columns, labelled: bool = True) -> list[Example]:
        found = []
        for i, row in enumerate(table.rows):
            place = table.place(i)
            example = {**read_texts(row, columns, place), "place": place}
            if labelled:
                example["label"] = label_of(row.get(columns["label"]), f"{place}, column {columns['label']!r}")
            found.append(example)
        return found

    def targets(self, train: Sequence[Example]) -> Targets:
        found = expect(Classes, super().targets(train))
        if len(found) > MANY_LABELS and sum(len(name.split()) for name in found.names) > LONG_LABEL * len(found):
            raise UserError(
                f"{len(found)} different labels of {LONG_LABEL} words and more are texts, not classes (for example "
                f"{found.names[0][:60]!r}); is this the label column?"
            )
        return found

    def encode(
        self, processor: PreTrainedTokenizerBase, examples: Sequence[Example], targets: Targets | None, max_length: int
    ) -> Split:
        columns = self.token_columns_of(processor, examples, max_length)
        return Split({**columns, "targets": class_column(examples, targets)}, lengths_of(columns))

    def baselines(self) -> Mapping[str, Baseline]:
        return {
            "majority": Baseline("the majority class", majority_rows),
            "tfidf": Baseline("TF-IDF with logistic regression", tfidf_rows),
        }


def tfidf_rows(train: Sequence[Example], test: Sequence[Example], targets: Targets) -> np.ndarray | None:
    """TF-IDF with logistic regression; None when no text holds a word of two characters."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(max_iter=1000)
    probabilities = tfidf_predictions(model, train, [e["label"] for e in train], test, probabilities=True)
    if probabilities is None:
        return None
    names = expect(Classes, targets).names
    of_each = np.zeros((len(test), len(names)))  # a class may stand in no row of train
    of_each[:, [names.index(str(label)) for label in model.classes_]] = probabilities
    return rows_of([names[i] for i in of_each.argmax(axis=1)], test, targets, of_each)
