"""Multi-label classification: one text, or two, and any number of several labels."""

from __future__ import annotations

import math
import re
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from peftcost.data.cells import LOOKED_AT, MOST, is_blank, label_of, list_from_text, mostly
from peftcost.data.features import Column, Split
from peftcost.data.guess import LABEL_NAMES, SCORE_NAMES, holds, label_column, names_of
from peftcost.data.numbers import are_decimals, is_number
from peftcost.data.table import Table
from peftcost.data.tags import marks_tags
from peftcost.errors import UserError
from peftcost.tasks.base import Baseline, Columns, Example, Metric
from peftcost.tasks.batch import Batch
from peftcost.tasks.class_targets import ClassTargets, unbalanced
from peftcost.tasks.label_metrics import DECISIVE, halves, macro_f1, micro_f1
from peftcost.tasks.one_text_or_two import OneTextOrTwo, guess_texts, read_texts
from peftcost.tasks.targets import Classes, Labels, Targets, expect
from peftcost.tasks.text_inputs import lengths_of, tfidf_predictions
from peftcost.tasks.undefined import no_label

if TYPE_CHECKING:
    import torch
    from transformers import PretrainedConfig, PreTrainedTokenizerBase

YES, NO = ("1", "True", "yes"), ("0", "False", "no")
"""What stands in the column of a label, as `label_of` writes it."""
THRESHOLDS = sorted((round(0.02 * i, 2) for i in range(1, 50)), key=lambda threshold: abs(threshold - 0.5))
"""Those that are tried; of equally good ones the first is taken."""
NUMBER = re.compile(r"[-+]?\d{1,3}(,\d{3})*(\.\d+)?")
"""One that may have commas between its thousands."""
LONGEST_NAME = 4
"""Words of a label; what is longer, between commas, is prose."""


class MultiLabel(OneTextOrTwo, ClassTargets):
    """Its examples hold "labels", a list that may be empty. They stand in one column, as lists or with bars, semicolons or
    commas between them; or each label has a column of 0 and 1, and the role `labels` is played by a list of columns.

    Rows for the metrics: how far each label's logit lies above the threshold's, then 1 for each true label and 0 for the
    others; shape (n, 2 * labels). One threshold for all labels is fitted on dev.
    """

    name = "multi-label"
    target_roles = ("labels",)
    described = ("labels",)
    several = ("text", "text_pair", "labels")
    metrics = {  # noqa: RUF012
        "micro_f1": Metric("micro_f1", 0.01, micro_f1, undefined=no_label),
        "macro_f1": Metric("macro_f1", 0.01, macro_f1, undefined=no_label),
    }
    auto_model = "AutoModelForSequenceClassification"
    precedence = 15

    def guess_columns(self, table: Table, label: str | None) -> dict[str, Any] | None:
        """Where the label column holds lists beside no other lists, or labels that are joined; or where nothing is called a
        label and several columns hold nothing but 0 and 1."""
        named = [name for name in table.columns if name.lower() in LABEL_NAMES]
        if label is None and not named:
            columns = flag_columns(table)
            return {**guess_texts(table, *columns, role="labels"), "labels": columns} if len(columns) > 1 else None
        if label is None and len(named) > 1:
            return None
        label = label_column(table, label)
        others = [name for name in table.columns if name != label and holds(table, name, list)]
        lists = [found for row in table.rows[:LOOKED_AT] if (found := _list_in(row.get(label))) is not None]
        if others or marks_tags(item for items in lists for item in items):
            return None
        if not holds_lists(table, label) and not holds_joined_labels(table, label):
            return None
        return {**guess_texts(table, label, role="labels"), "labels": label}

    def odd_cells(self, table: Table, columns: Columns) -> list[str]:
        """Of the first column beside those of the labels that would be one but for such a cell."""
        labels = columns["labels"]
        beside = [] if isinstance(labels, str) else [name for name in table.columns if name not in names_of(columns.values())]
        found = next(((name, i) for name in beside if (i := _odd_flag(table, name)) is not None), None)
        if found is None:
            return []
        name, i = found
        return [
            f"{name!r} is not taken for a label, since it holds {table.rows[i][name]!r} ({table.place(i)}) beside 0 and 1; "
            "if it is one, correct the cell and add the column to `labels`."
        ]

    def read(self, table: Table, columns: Columns, labelled: bool = True) -> list[Example]:
        found, by_place = [], labelled and has_vectors(table, columns["labels"])
        for i, row in enumerate(table.rows):
            place = table.place(i)
            example: Example = {**read_texts(row, columns, place), "place": place}
            if labelled:
                example["labels"] = labels_of(table, row, columns["labels"], place, by_place)
            found.append(example)
        return found

    def classes_of(self, example: Example) -> list[str]:
        return list(example["labels"])

    def targets(self, train: Sequence[Example]) -> Targets:
        return Labels(expect(Classes, super().targets(train)).names)

    def answer(self, example: Example) -> Any:
        return sorted(example["labels"])

    def stratum(self, example: Example) -> str:
        """The first label by name: few, large strata."""
        return min(example["labels"], default="")

    def default_metric(self, train: Sequence[Example]) -> tuple[str, str | None]:
        counts = Counter(name for example in train for name in example["labels"])
        return unbalanced(counts, "labels", "micro_f1", "if each label of each row counts the same")

    def encode(
        self, processor: PreTrainedTokenizerBase, examples: Sequence[Example], targets: Targets | None, max_length: int
    ) -> Split:
        columns = self.token_columns_of(processor, examples, max_length)
        wanted = np.zeros((len(examples), 1), dtype=np.float32) if targets is None else indicators(examples, targets)
        return Split({**columns, "targets": Column(wanted)}, lengths_of(columns))

    def dummy_batch(self, config: PretrainedConfig, targets: Targets, lengths: Sequence[int]) -> Batch:
        import torch

        batch = super().dummy_batch(config, targets, lengths)
        return replace(batch, targets=torch.zeros(len(lengths), len(expect(Labels, targets))))

    def model_options(self, targets: Targets) -> dict[str, Any]:
        return {**super().model_options(targets), "problem_type": "multi_label_classification"}

    def target_counts(self, split: Split, max_length: int) -> np.ndarray:
        return np.full(len(split), split.columns["targets"].values.shape[1], dtype=np.int64)

    def loss(
        self, logits: torch.Tensor, batch: Batch, label_smoothing: float = 0.0
    ) -> tuple[torch.Tensor, int | torch.Tensor]:
        """Binary cross entropy of each label."""
        from torch.nn.functional import binary_cross_entropy_with_logits

        known = ~batch.targets.isnan()
        wanted = batch.targets.nan_to_num() * (1 - label_smoothing) + label_smoothing / 2
        each = binary_cross_entropy_with_logits(logits.float(), wanted, reduction="none")
        return (each * known).sum(), known.sum()

    def predict(self, logits: torch.Tensor, batch: Batch, targets: Targets) -> np.ndarray:
        rows = np.concatenate([logits.float().cpu().numpy(), batch.targets.cpu().numpy()], axis=1).astype(np.float32)
        return shifted(rows, expect(Labels, targets).threshold)

    def fitted(self, rows: np.ndarray, targets: Targets, metric: Metric) -> tuple[np.ndarray, Targets]:
        """The rows under the threshold that is best for the metric, and the labels with it. The rows are those of 0.5. A
        user's own metric takes too long for that; micro F1 stands in for it."""
        if metric.name not in self.metrics:
            metric = self.metrics["micro_f1"]
        weights = np.ones((1, len(rows)))
        best = max(THRESHOLDS, key=lambda threshold: float(metric.compute(shifted(rows, threshold), weights)[0]))
        return shifted(rows, best), replace(expect(Labels, targets), threshold=best)

    def answers(self, rows: np.ndarray, targets: Targets) -> tuple[list[Any], list[Any]]:
        names = expect(Labels, targets).names
        predicted, true = ([[names[i] for i in np.flatnonzero(row)] for row in half] for half in halves(rows))
        return predicted, true

    def class_counts(self, rows: np.ndarray, classes: int) -> np.ndarray | None:
        predicted, true = halves(rows)
        return np.stack([(predicted & true).sum(axis=0), predicted.sum(axis=0), true.sum(axis=0)], axis=1)

    def describe(self, logits: torch.Tensor, batch: Batch, targets: Targets) -> list[dict[str, Any]]:
        labels = expect(Labels, targets)
        margins = shifted(logits.float().cpu().numpy(), labels.threshold, labels=len(labels))
        return [
            {
                "labels": [name for name, margin in zip(labels.names, row, strict=True) if margin > DECISIVE],
                **{f"probability_{name}": float(p) for name, p in zip(labels.names, chances, strict=True)},
            }
            for row, chances in zip(margins, logits.float().sigmoid().cpu().numpy(), strict=True)
        ]

    def baselines(self) -> Mapping[str, Baseline]:
        return {
            "majority": Baseline("the most frequent label", majority_rows),
            "tfidf": Baseline("TF-IDF with logistic regression", tfidf_rows),
        }


def labels_of(
    table: Table, row: Mapping[str, Any], column: str | Sequence[str], place: str, by_place: bool = False
) -> list[str]:
    """The labels of a row, each once. by_place: of a vector of 0 and 1, whose labels are called 0, 1, 2, … UserError for a
    cell that holds none of the shapes."""
    if not isinstance(column, str):
        return [name for name in column if _is_set(row.get(name), f"{place}, column {name!r}")]
    where, value = f"{place}, column {column!r}", row.get(column)
    if is_blank(value):
        raise UserError(f"{where}: the labels are missing; write [] for a text without any, or remove the row.")
    items = _list_in(value)
    if items is None:
        joint = table.joints.get(column)
        if isinstance(value, str) and value.lstrip().startswith("["):
            raise UserError(f"{where}: begins as a list does ({value[:30]!r}), but is none; correct it or remove the row.")
        items = parted(value, joint) if isinstance(value, str) and joint else [value]
    elif by_place:
        return [str(i) for i, item in enumerate(items) if item]
    names = list(dict.fromkeys(label_of(item, where) for item in items))
    if len(names) < len(items) and all(isinstance(item, int | float) for item in items):
        raise UserError(
            f"{where}: {str(value)[:30]} names a label twice; write each label of a text once. A tag for each word is "
            "`task: token-classification`, with a list of words beside it."
        )
    return names


def parted(cell: str, joint: str) -> list[str]:
    """Joined labels one by one; a joint before the first or behind the last parts nothing: `rude|`."""
    return cell.strip(f"{joint} ").split(joint)


def _list_in(cell: Any) -> list[Any] | None:
    return cell if isinstance(cell, list) else list_from_text(cell) if isinstance(cell, str) else None


def _is_set(value: Any, where: str) -> bool:
    said = label_of(value, where)
    if said in YES or said in NO:
        return said in YES
    raise UserError(f"{where}: expected 1 for a text that has this label or 0 for one that has not, but got {value!r}.")


def flag_columns(table: Table) -> list[str]:
    """The columns that hold nothing but 0 and 1, or true and false, and both of them; a few cells may be empty."""
    return [name for name in table.columns if _holds_flags([row.get(name) for row in table.rows])]


def _holds_flags(cells: Sequence[Any]) -> bool:
    there = [cell for cell in cells if not is_blank(cell)]
    written = {str(cell).strip().lower().removesuffix(".0") for cell in there}
    few_empty = len(cells) - len(there) <= max(1, (1 - MOST) * len(cells))
    return few_empty and written in ({"0", "1"}, {"true", "false"})


def _odd_flag(table: Table, name: str) -> int | None:
    """The row of the only cell that keeps a column from holding flags alone; None where there are more, or none."""
    cells = [row.get(name) for row in table.rows]
    odd = [i for i, cell in enumerate(cells) if not is_blank(cell) and str(label_of(cell, "")) not in (*YES, *NO)]
    return odd[0] if len(odd) == 1 and _holds_flags(cells[: odd[0]] + cells[odd[0] + 1 :]) else None


def holds_lists(table: Table, column: str) -> bool:
    """Whether the first cells that are there are lists, also as texts, but for an odd one; not all of them empty."""
    cells = [cell for row in table.rows[:LOOKED_AT] if not is_blank(cell := row.get(column))]
    lists = [found for cell in cells if (found := _list_in(cell)) is not None]
    return any(lists) and len(lists) >= MOST * len(cells)


def has_vectors(table: Table, column: str | Sequence[str]) -> bool:
    """`holds_vectors` of the whole file, which is looked through once, also where its rows are read one by one."""
    key = ("holds_vectors", str(column))
    if key not in table.found_out:
        table.found_out[key] = holds_vectors(table.whole or table, column)
    return bool(table.found_out[key])


def holds_vectors(table: Table, column: str | Sequence[str]) -> bool:
    """Whether cells are 0 or 1 for each of several labels by its place, as transformers takes them: lists of labels called 0
    and 1 would not all be of one length."""
    lists = [found for row in table.rows if isinstance(column, str) and (found := _list_in(row.get(column))) is not None]
    lengths = {len(found) for found in lists}
    return len(lengths) == 1 and min(lengths) > 1 and all(item in (0, 1) for found in lists for item in found)


def holds_joined_labels(table: Table, column: str) -> bool:
    """Whether cells are labels with bars, semicolons or commas between them: short names that stand in several combinations,
    and are fewer than these."""
    cells = [cell for row in table.rows[: LOOKED_AT * 10] if not is_blank(cell := row.get(column))]
    joint = table.joints.get(column)
    if joint is None or not all(isinstance(cell, str) for cell in cells):
        return False
    if all(NUMBER.fullmatch(str(cell).strip()) for cell in cells) or are_decimals(cells):
        return False
    if column.lower() in SCORE_NAMES and mostly(sum(map(is_number, cells)), len(cells)):
        return False
    parts = [[part.strip() for part in parted(str(cell), joint)] for cell in cells]
    names = {name for some in parts for name in some} - {""}  # an empty one between two joints is told with its row
    if any(len(name.split()) > LONGEST_NAME for name in names) or marks_tags(names):
        return False
    combinations = {tuple(sorted(some)) for some in parts}
    return len(combinations) >= len(names) and 2 * len(names) <= sum(map(len, parts))


def shifted(rows: np.ndarray, threshold: float, labels: int | None = None) -> np.ndarray:
    """The rows with the threshold's logit taken off the logits, which are the first half of the columns unless said."""
    found = rows.copy()
    found[:, : labels or rows.shape[1] // 2] -= np.float32(math.log(threshold / (1 - threshold)))
    return found


def indicators(examples: Sequence[Example], targets: Targets) -> np.ndarray:
    """1 for each label of each example, shape (n, labels)."""
    ids = expect(Labels, targets).ids
    found = np.zeros((len(examples), len(ids)), dtype=np.float32)
    for row, example in zip(found, examples, strict=True):
        row[[ids[name] for name in example["labels"]]] = 1
    return found


def rows_of(predicted: np.ndarray, test: Sequence[Example], targets: Targets) -> np.ndarray:
    """What `predict` gives for these predictions, 1 or 0 for each label, shape (n, labels)."""
    return np.concatenate([2.0 * predicted - 1, indicators(test, targets)], axis=1).astype(np.float32)


def majority_rows(train: Sequence[Example], test: Sequence[Example], targets: Targets) -> np.ndarray:
    """The most frequent label for every example, and any other that most examples have."""
    shares = indicators(train, targets).mean(axis=0)
    return rows_of(np.tile((shares > 0.5) | (shares == shares.max()), (len(test), 1)), test, targets)


def tfidf_rows(train: Sequence[Example], test: Sequence[Example], targets: Targets) -> np.ndarray | None:
    """TF-IDF with a logistic regression for each label, its rows weighted to balance; None when no text holds a word of two
    characters."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier

    model = OneVsRestClassifier(LogisticRegression(max_iter=1000, class_weight="balanced"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a label that every row has, or none
        predicted = tfidf_predictions(model, train, indicators(train, targets), test)
    return None if predicted is None else rows_of(predicted, test, targets)
