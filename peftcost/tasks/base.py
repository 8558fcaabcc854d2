"""What a task type is: how labelled rows become tensors, a loss, predictions and a number.

Everything that the controller calls (validation, metric) needs no torch; the rest imports it inside.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from peftcost.data.features import Split
from peftcost.data.table import Table
from peftcost.errors import UserError
from peftcost.tasks.batch import Batch
from peftcost.tasks.targets import Classes, Targets
from peftcost.tasks.undefined import always_defined

if TYPE_CHECKING:
    import torch
    from transformers import PretrainedConfig

Example = dict[str, Any]
"""One validated row: the keys are the task type's roles (text, label; tokens, tags), and "place": where it stands, for
messages, as in "reviews.csv, line 7"."""
Columns = Mapping[str, Any]
"""Role -> the column's name; or a list of names, where the task type takes several columns in one role."""
IGNORED = -100
"""A whole-number target that no loss counts; of other numbers it is NaN."""


@dataclass(frozen=True)
class Metric:
    """A number on predictions, higher is better.

    compute: (rows of shape (n, k), weights of shape (B, n)) -> values of shape (B,). A weight counts how often an
    example stands in a resample; all ones give the plain metric. limits: the lowest and the highest possible value.
    options: what makes it this one of its name, as JSON holds it, the targets among them; None for a plain metric.
    undefined: why these rows give no value ("only one class in these rows"), or "". `compute` gives 0 for such, since a
    resample may happen to be one of them.
    """

    name: str
    default_margin: float
    compute: Callable[[np.ndarray, np.ndarray], np.ndarray]
    limits: tuple[float, float] = (0.0, 1.0)
    options: Mapping[str, Any] | None = None
    undefined: Callable[[np.ndarray], str] = always_defined


@dataclass(frozen=True)
class Baseline:
    """A prediction that needs no base. title: for people.

    rows: (train, test, targets) -> the rows that `predict` would give for test, or None where it makes no sense.
    """

    title: str
    rows: Callable[[Sequence[Example], Sequence[Example], Targets], np.ndarray | None]


class TaskType(ABC):
    """One kind of task.

    input_roles, target_roles: the columns that a row needs, as in `columns: {text: review, label: sentiment}` of task.yaml.
    optional_roles: inputs that a row may have beside. several: roles that a list of columns may play.
    metrics: by name; the first is the default. auto_model: the transformers class that builds the model, by name.
    fresh_head: whether that class puts a new head on the base. precedence: in which order types are asked whether a file is
    theirs, when nobody has said so; the most special come first. default_model: the base where nobody names one. one_size:
    whether the processor makes all inputs one size, so that nothing is cut or padded. pipeline_tag: what the
    Hugging Face hub calls the task, where that is not its name. generates: whether its answers are
    texts that the model writes, token by token; written_metrics: by which these are then judged, on the rows of `score`.
    described: what `describe` or `written` tells of every example; by that `peftcost predict` knows its own files.
    per_token: whether each token has a target of its own. keeps_places: whether batches say at which positions logits are
    wanted, as many as `target_counts` tells (`Batch.kept`). measured: what `peftcost check` tells the lengths of.
    """

    name: ClassVar[str]
    input_roles: ClassVar[tuple[str, ...]]
    target_roles: ClassVar[tuple[str, ...]]
    optional_roles: ClassVar[tuple[str, ...]] = ()
    several: ClassVar[tuple[str, ...]] = ()
    metrics: ClassVar[dict[str, Metric]]
    auto_model: ClassVar[str]
    fresh_head: ClassVar[bool] = True
    precedence: ClassVar[int] = 50
    default_model: ClassVar[str] = "builtin:minilm"
    generates: ClassVar[bool] = False
    written_metrics: ClassVar[dict[str, Metric]] = {}
    described: ClassVar[tuple[str, ...]] = ()
    one_size: ClassVar[bool] = False
    pipeline_tag: ClassVar[str | None] = None
    per_token: ClassVar[bool] = False
    keeps_places: ClassVar[bool] = False
    measured: ClassVar[str] = "a text"

    @property
    def roles(self) -> tuple[str, ...]:
        """All that an example holds beside its place."""
        return (*self.input_roles, *self.target_roles)

    @property
    def shapes(self) -> tuple[tuple[str, ...], ...]:
        """The sets of columns that a file may have for such examples, by the roles that they play; the first that a file can
        fill is taken. Most types know one."""
        return (
            ((*self.input_roles, *self.optional_roles, *self.target_roles), self.roles)
            if self.optional_roles
            else (self.roles,)
        )

    def inputs_of_shape(self, shape: Collection[str]) -> tuple[str, ...]:
        """Which of a shape's columns are looked at where examples are read unlabelled."""
        return (*self.input_roles, *(role for role in self.optional_roles if role in shape))

    # Rows: free of torch

    @abstractmethod
    def guess_columns(self, table: Table, label: str | None) -> dict[str, Any] | None:
        """The column of each role in a file of which at most the label column is known; None where the file is not of this
        type. UserError where it is, but does not show which column is which."""

    def otherwise(self, table: Table, columns: Columns) -> str | None:
        """What else such columns may be, and how to say that, one sentence; None where there is no doubt."""
        return None

    def odd_cells(self, table: Table, columns: Columns) -> list[str]:
        """What to tell of columns that would play a role but for an odd cell, one sentence each."""
        return []

    @abstractmethod
    def read(self, table: Table, columns: Columns, labelled: bool = True) -> list[Example]:
        """Validated rows; UserError with file, row and column for the first that is not usable. labelled: with the targets;
        else no target column is looked at."""

    @abstractmethod
    def targets(self, train: Sequence[Example]) -> Targets:
        """What is known of the targets; UserError if one cannot learn from these rows."""

    def check_targets(self, examples: Sequence[Example], targets: Targets, split: str) -> None:
        """OtherData if a dev or test split holds a target that cannot be predicted."""

    def default_metric(self, train: Sequence[Example]) -> tuple[str, str | None]:
        """The metric for these rows if the task names none; and why it is not the first, one sentence."""
        return next(iter(self.metrics)), None

    def check_rows(self, metric: str | None, train: Sequence[Example]) -> None:
        """UserError that names the row of a target which is odd among the others, or which this metric cannot judge. metric:
        None where nobody has named one, or it is the user's own."""

    def doubts(self, examples: Sequence[Example]) -> list[str]:
        """What may be a slip among the targets, one sentence each, with the row."""
        return []

    def check_metric(self, metric: str, targets: Targets) -> None:
        """UserError if the metric makes no sense for these targets."""

    def with_options(self, metric: Metric, options: Mapping[str, Any], targets: Targets) -> Metric:
        """One of the type's metrics with what the user has said of it. UserError for an option that it has not."""
        raise UserError(f"{metric.name} takes no options, but got {', '.join(options)}.")

    def answers(self, rows: np.ndarray, targets: Targets) -> tuple[list[Any], list[Any]] | None:
        """The predicted and the true answer of each example as users write them, for a metric of their own; None where the
        rows of `predict` do not tell."""
        return None

    def classes_of(self, example: Example) -> list[str]:
        """The classes that stand in an example; splits leave some of each in train."""
        return []

    def can_learn(self, train: Sequence[Example]) -> bool:
        """Whether there is something to learn from the rows that are left for training."""
        return bool(train)

    def answer(self, example: Example) -> Any:
        """The targets, to be compared: inputs that stand with different ones contradict each other."""
        return [example[role] for role in self.target_roles]

    def stratum(self, example: Example) -> str:
        """What a stratified split keeps in proportion."""
        return ""

    @abstractmethod
    def content(self, example: Example) -> str:
        """The inputs without the targets: two examples with the same content are duplicates."""

    def all_text(self, example: Example) -> str:
        """All that the base's tokenizer gets of a labelled example."""
        return self.content(example)

    def facts(self, examples: Sequence[Example]) -> list[str]:
        """What `peftcost check` tells of the inputs, one line each."""
        return []

    def baselines(self) -> Mapping[str, Baseline]:
        """Predictions that need no base, by name; the first knows nothing but the targets."""
        return {}

    def suits(self, config: Mapping[str, Any]) -> bool:
        """Whether a base of this config.json may be meant, where the columns alone leave several types."""
        return True

    # Tensors: in the worker

    @abstractmethod
    def processor(self, model: str) -> Any:
        """What turns raw inputs into numbers: the base's tokenizer, image processor or feature extractor."""

    @abstractmethod
    def encode(self, processor: Any, examples: Sequence[Example], targets: Targets | None, max_length: int) -> Split:
        """The examples as columns, the column "targets" among them. targets: None for inputs alone, of examples that were
        read unlabelled."""

    def check_encoded(self, split: Split, model: str) -> None:
        """UserError where the processor makes numbers that the model cannot take."""

    def warnings(self, split: Split, model: str) -> list[str]:
        """What the encoded training rows tell about whether this base can be right, one sentence each."""
        return []

    def padding(self, processor: Any) -> dict[str, float]:
        """The processor's numbers that `collate` needs: what ragged columns are filled up with, how bytes are scaled."""
        return {}

    @abstractmethod
    def collate(
        self, split: Split, indices: np.ndarray, padding: Mapping[str, float], max_length: int, width: int = 0
    ) -> Batch:
        """A batch of these examples, padded to the longest of them or to `width` where that is more, cut to max_length."""

    @abstractmethod
    def dummy_batch(self, config: PretrainedConfig, targets: Targets, lengths: Sequence[int]) -> Batch:
        """A batch of rows of these lengths, of any content, on torch's default device: for estimates and for trying how a
        model computes."""

    def two_rows(self, config: PretrainedConfig, targets: Targets) -> Batch:
        """A dummy batch of two short rows of different length, to try how a model computes."""
        return self.dummy_batch(config, targets, (4, 3))

    @abstractmethod
    def model_options(self, targets: Targets) -> dict[str, Any]:
        """Options of the model's configuration: num_labels, id2label, problem_type."""

    def target_counts(self, split: Split, max_length: int) -> np.ndarray:
        """How many targets of each example the loss counts, shape (n,)."""
        return np.ones(len(split), dtype=np.int64)

    def seen(self, batch: Batch) -> Batch:
        """The batch with those targets alone that the loss counts."""
        return batch

    @abstractmethod
    def loss(
        self, logits: torch.Tensor, batch: Batch, label_smoothing: float = 0.0
    ) -> tuple[torch.Tensor, int | torch.Tensor]:
        """The summed loss in fp32 and the number of targets summed over (0 of them gives 0, never NaN).

        It counts no target that is IGNORED or NaN. It neither waits for the device nor copies to it: a CUDA graph may
        hold it.
        """

    @abstractmethod
    def predict(self, logits: torch.Tensor, batch: Batch, targets: Targets) -> np.ndarray:
        """One row per example, shape (n, k), float32: what the metrics need and no more (sufficient statistics)."""

    def fitted(self, rows: np.ndarray, targets: Targets, metric: Metric) -> tuple[np.ndarray, Targets]:
        """What a training fits on dev, such as a threshold: the rows of `predict` under it, and the targets that hold it, all
        kept beside the artifact. Most types fit nothing."""
        return rows, targets

    def class_pairs(self, rows: np.ndarray) -> np.ndarray | None:
        """The predicted and the true class id of each example, shape (n, 2), of the rows of `predict`; None where an example
        has not one class."""
        return None

    def class_names(self, targets: Targets) -> Sequence[str]:
        """The classes that `class_counts` tells apart, in its order; none where there are none."""
        return targets.names if isinstance(targets, Classes) else ()

    def class_counts(self, rows: np.ndarray, classes: int) -> np.ndarray | None:
        """For each class how many examples were rightly called so, were called so, and are so, shape (classes, 3); None where
        the rows of `predict` do not tell."""
        pairs = self.class_pairs(rows)
        if pairs is None:
            return None
        predicted, true = pairs.T
        right = predicted[predicted == true]
        return np.stack([np.bincount(ids, minlength=classes) for ids in (right, predicted, true)], axis=1)

    def log_probabilities(self, logits: torch.Tensor) -> torch.Tensor | None:
        """Of each class, shape (n, classes); None where an example has not one class."""
        return None

    @abstractmethod
    def describe(self, logits: torch.Tensor, batch: Batch, targets: Targets) -> list[dict[str, Any]]:
        """Per example what `peftcost predict` writes: label and probabilities, tags, a number; of a type that generates,
        nothing."""

    def end_tokens(self, processor: Any) -> list[int]:
        """The tokens that end what a type that generates writes."""
        return []

    def written(self, processor: Any, tokens: Sequence[int]) -> dict[str, Any]:
        """What `peftcost predict` writes of the tokens that the model has generated for one example."""
        raise NotImplementedError(f"{self.name} generates nothing")

    def reference(self, example: Example) -> str | None:
        """What would be right to write for a labelled example; None where there is no such text."""
        return None

    def score(self, written: Sequence[str], references: Sequence[str]) -> np.ndarray:
        """What `written_metrics` need of each text and the one that would be right, shape (n, k), float32."""
        raise NotImplementedError(f"{self.name} generates nothing")
