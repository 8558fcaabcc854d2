"""Regression: one text, or two, and one number."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from peftcost.data.cells import mostly
from peftcost.data.features import Column, Split
from peftcost.data.guess import MOST_CLASSES, SCORE_NAMES, as_yaml, label_column, said_as, some_cells
from peftcost.data.numbers import DoubtfulNumber, is_number, number_reader
from peftcost.data.table import Table
from peftcost.errors import OtherData, UserError
from peftcost.tasks.base import Baseline, Columns, Example, Metric
from peftcost.tasks.batch import Batch
from peftcost.tasks.metrics import negative_rmse, pearson, spearman
from peftcost.tasks.one_text_or_two import OneTextOrTwo, guess_texts, read_texts
from peftcost.tasks.targets import Targets, Values, expect
from peftcost.tasks.text_inputs import lengths_of, tfidf_predictions
from peftcost.tasks.undefined import one_value

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

LARGEST = 1e30
"""Numbers, in deviations of train's, whose squares overflow beyond."""


class Regression(OneTextOrTwo):
    """Rows for the metrics: (predicted, true), both as (value - mean) / deviation of the training rows, as they are learnt.
    So the margin of every metric means the same whatever the unit."""

    name = "regression"
    target_roles = ("value",)
    described = ("value",)
    metrics = {  # noqa: RUF012
        "pearson": Metric("pearson", 0.01, pearson, (-1.0, 1.0), undefined=one_value),
        "spearman": Metric("spearman", 0.01, spearman, (-1.0, 1.0), undefined=one_value),
        "negative_rmse": Metric("negative_rmse", 0.01, negative_rmse, (-math.inf, 0.0)),
    }
    pipeline_tag = "text-classification"
    auto_model = "AutoModelForSequenceClassification"
    precedence = 80

    def guess_columns(self, table: Table, label: str | None) -> dict[str, Any] | None:
        """Where the label column holds numbers, some of them not whole, or, where it is called a score, more different ones
        than classes would be. Ratings from 1 to 5 may be classes as well."""
        label = label_column(table, label)
        if not holds_fractions(table, label) and not (label.lower() in SCORE_NAMES and holds_many_numbers(table, label)):
            self._check_no_doubt(table, label)
            return None
        columns = {**guess_texts(table, label, role="value"), "value": label}
        _check_no_odd_fraction(table, columns)
        return columns

    def _check_no_doubt(self, table: Table, label: str) -> None:
        """UserError for a column of numbers that seem to be whole, of which one may not be: 1,250."""
        if not _numbers(table, label):
            return
        read = number_reader(table, label)
        for i, row in enumerate(table.rows):
            try:
                read(row.get(label), f"{table.place(i)}, column {label!r}")
            except DoubtfulNumber as error:
                columns = {**guess_texts(table, label, role="value"), "value": label}
                how = said_as("text-classification", columns, role="label", instead="value")
                raise UserError(f"{str(error).removesuffix('.')}; or, to learn them as classes, {how}.") from error
            except UserError:
                pass

    def otherwise(self, table: Table, columns: Columns) -> str | None:
        how = said_as("text-classification", columns, role="label", instead="value")
        return f"{columns['value']!r} holds numbers, which are learnt as such; to learn them as classes {how}"

    def read(self, table: Table, columns: Columns, labelled: bool = True) -> list[Example]:
        found = []
        number_of = number_reader(table, columns["value"]) if labelled else None
        for i, row in enumerate(table.rows):
            place = table.place(i)
            example: Example = {**read_texts(row, columns, place), "place": place}
            if number_of is not None:
                example["value"] = number_of(row.get(columns["value"]), f"{place}, column {columns['value']!r}")
            found.append(example)
        return found

    def targets(self, train: Sequence[Example]) -> Targets:
        values = np.array([e["value"] for e in train])
        far = next((e for e in train if abs(e["value"]) > LARGEST), None)
        if far is not None:
            raise UserError(
                f"{far['place']}: the number {far['value']:g} is too large to be learnt; correct or remove the row."
            )
        if len(values) < 2 or values.std() == 0:
            raise UserError(f"the {len(train)} training rows hold one number alone; there is nothing to learn.")
        return Values(float(values.mean()), float(values.std()), float(values.min()), float(values.max()))

    def check_targets(self, examples: Sequence[Example], targets: Targets, split: str) -> None:
        scale = expect(Values, targets)
        for example in examples:
            if abs(example["value"] - scale.mean) > LARGEST * min(1.0, scale.scale):
                raise OtherData(
                    f"{example['place']}: the number {example['value']:g} of the {split} split is too far from train's "
                    f"({scale.low:g} to {scale.high:g}) to be judged; correct or remove the row."
                )

    def encode(
        self, processor: PreTrainedTokenizerBase, examples: Sequence[Example], targets: Targets | None, max_length: int
    ) -> Split:
        columns = self.token_columns_of(processor, examples, max_length)
        values = np.zeros(len(examples), dtype=np.float32) if targets is None else standardized(examples, targets)
        return Split({**columns, "targets": Column(values)}, lengths_of(columns))

    def dummy_targets(self, rows: int, width: int) -> torch.Tensor:
        import torch

        return torch.zeros(rows)

    def model_options(self, targets: Targets) -> dict[str, Any]:
        return {"num_labels": 1, "problem_type": "regression"}

    def loss(
        self, logits: torch.Tensor, batch: Batch, label_smoothing: float = 0.0
    ) -> tuple[torch.Tensor, int | torch.Tensor]:
        """Squared error of standardized values."""
        known = ~batch.targets.isnan()
        error = (logits.float().squeeze(-1) - batch.targets.nan_to_num()) * known
        return error.square().sum(), known.sum()

    def predict(self, logits: torch.Tensor, batch: Batch, targets: Targets) -> np.ndarray:
        return np.stack([logits.float().squeeze(-1).cpu().numpy(), batch.targets.cpu().numpy()], axis=1).astype(np.float32)

    def answers(self, rows: np.ndarray, targets: Targets) -> tuple[list[Any], list[Any]]:
        """In the unit of the user's file."""
        scale = expect(Values, targets)
        predicted, true = (scale.mean + scale.scale * rows[:, :2].astype(np.float64)).T.tolist()
        return predicted, true

    def describe(self, logits: torch.Tensor, batch: Batch, targets: Targets) -> list[dict[str, Any]]:
        """In the unit of the user's file."""
        scale = expect(Values, targets)
        return [{"value": scale.mean + scale.scale * float(value)} for value in logits.float().squeeze(-1).cpu()]

    def baselines(self) -> Mapping[str, Baseline]:
        return {
            "mean": Baseline("the mean", mean_rows),
            "tfidf": Baseline("TF-IDF with ridge regression", tfidf_rows),
        }


def holds_fractions(table: Table, column: str) -> bool:
    """Whether some cells are numbers, but for an odd one, and some of them not whole."""
    numbers = _numbers(table, column)
    if not numbers:  # the reader would look at the whole column, which is one of classes mostly
        return False
    read = number_reader(table, column)
    return any(not number.is_integer() for cell in numbers if (number := _number_or_none(read, cell)) is not None)


def _check_no_odd_fraction(table: Table, columns: Columns) -> None:
    """UserError for a number that is not whole among a few whole ones which repeat: 0.5 beside 0 and 1 may be a class that
    was mistyped, unless the column is called a score."""
    label = columns["value"]
    read = number_reader(table, label)
    found = [(i, number) for i, row in enumerate(table.rows) if (number := _number_or_none(read, row.get(label))) is not None]
    odd = [i for i, number in found if not number.is_integer()]
    whole = {number for _, number in found if number.is_integer()}
    if label.lower() in SCORE_NAMES or len(whole) > MOST_CLASSES or len(whole) * 2 > len(found):
        return
    if odd and mostly(len(found) - len(odd), len(found)):
        raise UserError(
            f"{table.place(odd[0])}, column {label!r}: {table.rows[odd[0]][label]!r} is not whole as others are, which may "
            "be classes; correct it, or, to learn all as numbers, write `task: regression` and "
            f"`columns: {as_yaml(columns)}`."
        )


def holds_many_numbers(table: Table, column: str) -> bool:
    """Whether some cells are numbers, but for an odd one, and too many different ones for classes."""
    return len(set(map(str, _numbers(table, column)))) > MOST_CLASSES


def _numbers(table: Table, column: str) -> list[Any]:
    """Those of some cells that are numbers; none where more than an odd cell is none."""
    there = some_cells(table, column)
    numbers = [cell for cell in there if is_number(cell)]
    return numbers if mostly(len(numbers), len(there)) else []


def _number_or_none(read: Callable[[Any, str], float], cell: Any) -> float | None:
    try:
        return read(cell, "")
    except UserError:
        return None


def standardized(examples: Sequence[Example], targets: Targets) -> np.ndarray:
    """(value - mean) / deviation of each example, shape (n,)."""
    scale = expect(Values, targets)
    return np.array([(e["value"] - scale.mean) / scale.scale for e in examples], dtype=np.float32)


def mean_rows(train: Sequence[Example], test: Sequence[Example], targets: Targets) -> np.ndarray:
    """The mean of train for every example."""
    true = standardized(test, targets)
    return np.stack([np.zeros_like(true), true], axis=1)


def tfidf_rows(train: Sequence[Example], test: Sequence[Example], targets: Targets) -> np.ndarray | None:
    """TF-IDF with ridge regression; None when no text holds a word of two characters."""
    from sklearn.linear_model import Ridge

    predicted = tfidf_predictions(Ridge(), train, standardized(train, targets), test)
    return None if predicted is None else np.stack([predicted, standardized(test, targets)], axis=1).astype(np.float32)
