"""What a task type is: how labelled rows become tensors, a loss, predictions and a number.

Everything that the controller calls (validation, metric) needs no torch; the rest imports it inside.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from peftcost.errors import UserError, did_you_mean

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

    from peftcost.data.table import Table

Example = dict[str, Any]
"""One validated row: the keys are the task type's column roles (text, label; tokens, tags), and "place": where it
stands, for messages, as in "reviews.csv, line 7"."""


@dataclass(frozen=True)
class Metric:
    """A number on predictions, higher is better.

    compute: (rows of shape (n, k), weights of shape (B, n)) -> values of shape (B,). A weight counts how often an
    example stands in a resample; all ones give the plain metric. limits: the lowest and the highest possible value.
    """

    name: str
    default_margin: float
    compute: Callable[[np.ndarray, np.ndarray], np.ndarray]
    limits: tuple[float, float] = (0.0, 1.0)


class TaskType(ABC):
    """One kind of task.

    roles: the columns that a row needs, as in `columns: {text: review, label: sentiment}` of task.yaml; the input's
    comes first.
    metrics: by name; the first is the default.
    auto_model: the transformers class that builds the model, by name. pre_split: inputs are lists of words.
    """

    name: ClassVar[str]
    roles: ClassVar[tuple[str, ...]]
    metrics: ClassVar[dict[str, Metric]]
    auto_model: ClassVar[str]
    pre_split: ClassVar[bool] = False

    @abstractmethod
    def inputs(self, table: Table, column: str) -> list[Any]:
        """The validated inputs (texts; lists of tokens) of a column; no label is looked at. UserError as `examples`."""

    @abstractmethod
    def examples(self, table: Table, columns: Mapping[str, str]) -> list[Example]:
        """Validated rows, keyed by role; UserError with file, row and column for the first that is not usable."""

    @abstractmethod
    def label_names(self, example: Example) -> list[str]:
        """The labels that stand in an example: one for a text, one per token for a sequence."""

    def labels(self, train: Sequence[Example]) -> list[str]:
        """The label names in a fixed order (their index is the class id); UserError if one cannot learn from them."""
        found = {name for example in train for name in self.label_names(example)}
        if len(found) < 2:
            only = f"only the label {next(iter(found))!r}" if found else "no labels"
            raise UserError(f"the {len(train)} training rows hold {only}; at least two are needed to learn from.")
        if all(name.isdecimal() for name in found):
            return sorted(found, key=lambda name: (int(name), name))
        return sorted(found)

    def check_known(self, examples: Sequence[Example], labels: Sequence[str], split: str) -> None:
        """UserError if a label of a dev or test split does not occur in train."""
        known = set(labels)
        for example in examples:
            for name in self.label_names(example):
                if name not in known:
                    raise UserError(
                        f"{example['place']}: the label {name!r} of the {split} split does not occur in train; correct "
                        f"it, or add training rows that have it.{did_you_mean(name, list(labels))}"
                    )

    def default_metric(self, train: Sequence[Example]) -> tuple[str, str | None]:
        """The metric for these rows if the task names none; and why it is not the first, one sentence."""
        return next(iter(self.metrics)), None

    def check_metric(self, metric: str, labels: Sequence[str]) -> None:
        """UserError if the metric makes no sense for these labels."""

    @abstractmethod
    def stratum(self, example: Example) -> str:
        """What a stratified split keeps in proportion."""

    @abstractmethod
    def unlabelled(self, content: Any, labels: Sequence[str]) -> Example:
        """An example of an input alone (a text; a list of tokens), for predicting; its label is a placeholder."""

    @abstractmethod
    def content(self, example: Example) -> str:
        """The input without its label: two examples with the same content are duplicates."""

    @abstractmethod
    def tokenize(
        self,
        tokenizer: PreTrainedTokenizerBase,
        examples: Sequence[Example],
        labels: Sequence[str],
        max_length: int,
    ) -> tuple[list[list[int]], list[list[int]]]:
        """Per example its token ids and its target ids (one class id, or one per token with -100 for ignored).

        Targets may be longer than the ids: what lies beyond belongs to words that truncation cut off.
        """

    @abstractmethod
    def loss(
        self, logits: torch.Tensor, targets: torch.Tensor, label_smoothing: float = 0.0
    ) -> tuple[torch.Tensor, int | torch.Tensor]:
        """Summed cross entropy in fp32 and the number of targets summed over (0 of them gives 0, never NaN). It neither waits
        for the device nor copies to it: a CUDA graph may hold it.

        logits: (n, classes), or (n, width, classes) aligned with input_ids; targets: as `collate_targets` gives them.
        """

    @abstractmethod
    def collate_targets(self, targets: Sequence[Sequence[int]], width: int) -> torch.Tensor:
        """Targets of a batch as one tensor: (n,) class ids, or (n, at least width) padded with -100.

        Columns from `width` on are targets of words that the model does not see; they count in `predict` alone.
        """

    @abstractmethod
    def predict(self, logits: torch.Tensor, targets: torch.Tensor, labels: Sequence[str]) -> np.ndarray:
        """One row per example, shape (n, k), float32: what the metrics need and no more (sufficient statistics)."""

    @abstractmethod
    def majority_rows(self, train: Sequence[Example], test: Sequence[Example], labels: Sequence[str]) -> np.ndarray:
        """The rows that `predict` would give for the best constant guess."""

    def tfidf_rows(self, train: Sequence[Example], test: Sequence[Example], labels: Sequence[str]) -> np.ndarray | None:
        """The rows of TF-IDF with logistic regression, or None where that makes no sense."""
        return None

    @abstractmethod
    def describe(self, logits: torch.Tensor, targets: torch.Tensor, labels: Sequence[str]) -> list[dict[str, Any]]:
        """Per example what `peftcost predict` writes: label and probabilities (token classification: tags)."""
