"""What all task types share that give each example one of several classes."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from peftcost.data.features import Column
from peftcost.data.numbers import is_number
from peftcost.errors import UserError
from peftcost.tasks.base import Example, Metric
from peftcost.tasks.batch import Batch
from peftcost.tasks.class_metrics import MOST_SCORED, check_class_metric, class_metric
from peftcost.tasks.class_targets import ClassTargets, unbalanced
from peftcost.tasks.metrics import accuracy, expected_cost, f1, macro_f1, mcc
from peftcost.tasks.score_metrics import pr_auc, recall_at_precision, roc_auc
from peftcost.tasks.targets import Classes, Targets, expect
from peftcost.tasks.undefined import none_of_class, one_class

if TYPE_CHECKING:
    import torch

FEWEST_ROWS_A_LABEL = 2.0
"""On average; a column with fewer is an id, a number or a text, not a class."""


class OneClass(ClassTargets):
    """Its examples hold a "label". Rows for the metrics: (predicted class id, true class id, the probability of each class);
    without probabilities where there are more classes than MOST_SCORED."""

    target_roles = ("label",)
    described = ("label",)
    metrics = {  # noqa: RUF012
        "accuracy": Metric("accuracy", 0.01, accuracy),
        "macro_f1": Metric("macro_f1", 0.01, macro_f1),
        "f1": Metric("f1", 0.01, f1, undefined=none_of_class),
        "mcc": Metric("mcc", 0.01, mcc, (-1.0, 1.0), undefined=one_class),
        "roc_auc": Metric("roc_auc", 0.01, roc_auc, undefined=one_class),
        "pr_auc": Metric("pr_auc", 0.01, pr_auc, undefined=one_class),
        "recall_at_precision": Metric("recall_at_precision", 0.01, recall_at_precision, undefined=one_class),
        "expected_cost": Metric("expected_cost", 0.01, expected_cost, (-math.inf, 0.0)),
    }

    def classes_of(self, example: Example) -> list[str]:
        return [example["label"]]

    def default_metric(self, train: Sequence[Example]) -> tuple[str, str | None]:
        return unbalanced(Counter(e["label"] for e in train), "classes", "accuracy", "if each row counts the same")

    def targets(self, train: Sequence[Example]) -> Targets:
        found = expect(Classes, super().targets(train))
        if len(found) > 2 and len(train) / len(found) < FEWEST_ROWS_A_LABEL:
            numbers = ""
            if all(map(is_number, found.names)):
                numbers = " To learn numbers as such, write `task: regression`, and under columns `value:` for `label:`."
            raise UserError(
                f"{len(found)} different labels in {len(train)} rows are too many to learn from (for example "
                f"{found.names[0]!r}); is this the label column?{numbers}"
            )
        return found

    def check_metric(self, metric: str, targets: Targets) -> None:
        check_class_metric(metric, expect(Classes, targets))

    def with_options(self, metric: Metric, options: Mapping[str, Any], targets: Targets) -> Metric:
        return class_metric(metric, options, expect(Classes, targets))

    def answers(self, rows: np.ndarray, targets: Targets) -> tuple[list[Any], list[Any]]:
        names = expect(Classes, targets).names
        predicted, true = rows[:, :2].astype(np.int64).T
        return [names[i] for i in predicted], [names[i] for i in true]

    def stratum(self, example: Example) -> str:
        return str(example["label"])

    def loss(self, logits: torch.Tensor, batch: Batch, label_smoothing: float = 0.0) -> tuple[torch.Tensor, int]:
        from torch.nn.functional import cross_entropy

        each = cross_entropy(logits.float(), batch.targets, reduction="none", label_smoothing=label_smoothing)
        return (each if batch.weights is None else each * batch.weights).sum(), batch.rows

    def predict(self, logits: torch.Tensor, batch: Batch, targets: Targets) -> np.ndarray:
        probabilities = logits.detach().float().softmax(dim=-1).cpu().numpy()
        return scored(logits.argmax(dim=-1).cpu().numpy(), batch.targets.cpu().numpy(), probabilities)

    def class_pairs(self, rows: np.ndarray) -> np.ndarray | None:
        return rows[:, :2].astype(np.int64)

    def log_probabilities(self, logits: torch.Tensor) -> torch.Tensor:
        return logits.float().log_softmax(dim=-1)

    def describe(self, logits: torch.Tensor, batch: Batch, targets: Targets) -> list[dict[str, Any]]:
        names = expect(Classes, targets).names
        probabilities = logits.float().softmax(dim=-1).cpu().numpy()
        return [
            {
                "label": names[int(row.argmax())],
                **{f"probability_{label}": float(p) for label, p in zip(names, row, strict=True)},
            }
            for row in probabilities
        ]


def class_column(examples: Sequence[Example], targets: Targets | None) -> Column:
    """The class id of each example; zeros where the classes are not known."""
    if targets is None:
        return Column(np.zeros(len(examples), dtype=np.int32))
    ids = expect(Classes, targets).ids
    return Column(np.array([ids[e["label"]] for e in examples], dtype=np.int32))


def majority_rows(train: Sequence[Example], test: Sequence[Example], targets: Targets) -> np.ndarray:
    """The most frequent class for every example."""
    counts = Counter(e["label"] for e in train)
    majority = max(expect(Classes, targets).names, key=lambda label: counts[label])
    return rows_of([majority] * len(test), test, targets)


def rows_of(
    predicted: Sequence[str], test: Sequence[Example], targets: Targets, probabilities: np.ndarray | None = None
) -> np.ndarray:
    """What `predict` gives for these predictions. probabilities: of each class, shape (n, classes); else the predicted one's
    is 1."""
    ids = expect(Classes, targets).ids
    called, true = np.array([ids[p] for p in predicted]), np.array([ids[e["label"]] for e in test])
    return scored(called, true, np.eye(len(ids))[called] if probabilities is None else probabilities)


def scored(predicted: np.ndarray, true: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """The rows for the metrics."""
    columns = [predicted, true, *(probabilities.T if probabilities.shape[1] <= MOST_SCORED else ())]
    return np.stack(columns, axis=1).astype(np.float32)
