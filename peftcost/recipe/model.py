"""A trained model's folder, to predict with."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from peftcost.data.in_memory import file_of
from peftcost.data.media import has_bytes
from peftcost.data.sounds import has_samples
from peftcost.errors import UserError
from peftcost.recipe.evaluate import Evaluated, evaluate
from peftcost.recipe.predict import described_in_worker, read_card, read_json
from peftcost.store.learning_curve import LearningCurve, curve_of, read_lines
from peftcost.task.inputs import read_inputs
from peftcost.tasks import get_task_type

CURVE = "curve.jsonl"


class TrainedModel:
    """A folder that a recipe's training wrote. Plain PEFT and transformers load it as well, but for houlsby.

    Attributes:
        folder: The folder, a Path.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        self._card = read_card(self.folder)

    def __repr__(self) -> str:
        return f"TrainedModel({str(self.folder)!r})"

    @property
    def report(self) -> dict[str, Any]:
        """What training.json says: what was promised, what was measured (quality, gpu_seconds, peak_bytes), seed and rows."""
        return read_json(self.folder / "training.json")

    @property
    def learning_curve(self) -> LearningCurve:
        """The losses and evaluations of the training."""
        return curve_of(read_lines(self.folder / CURVE))

    def predict(self, rows: Any, *, devices: str | None = None) -> list[dict[str, Any]]:
        """Label rows, in a process of their own.

        Args:
            rows: Texts (or lists of tokens; pictures, sounds or their paths), a data frame, a `datasets.Dataset`, a list of
                dicts, or a data file's path. Of columns, the task's is read, or the one that is called like its role
                (`text`, `tokens`, `image`, `audio`).
            devices: "cpu", "cuda" or "mps". Default: an idle GPU, else the CPU.

        Returns:
            One dict a row, in order: `label` and a probability for each label; of tokens, `tags` and their `probabilities`.

        Raises:
            UserError: For rows that hold no inputs.
        """
        task, columns = self._card["dataset_info"]["task"], self._card["columns"]
        kind = get_task_type(task)
        roles = [role for role in (*kind.input_roles, *kind.optional_roles) if role in columns] or list(kind.input_roles)
        with tempfile.TemporaryDirectory(prefix="peftcost-predict-") as scratch:
            file = file_of(with_columns(rows, roles), Path(scratch) / "rows.parquet")
            examples = read_inputs(file, task, columns)
        return described_in_worker(self.folder, self._card, examples, devices)

    def evaluate(
        self,
        rows: Any,
        *,
        skip_bad_rows: bool = False,
        min_quality: float | None = None,
        devices: str | None = None,
    ) -> Evaluated:
        """Judge the model on labelled rows, in a process of its own.

        Args:
            rows: A data file's path, a data frame, a `datasets.Dataset` or a list of dicts, with the task's columns or those
                called like their roles.
            skip_bad_rows: Leave out rows that cannot be used; they stand in `rejected`.
            min_quality: The least quality, whatever the recipe promises.
            devices: "cpu", "cuda" or "mps". Default: an idle GPU, else the CPU.

        Returns:
            `quality` with its 95 % interval, all `metrics`, `classes` with recall and precision, the `confusion` of classes,
            `promised_interval` and `broken_promises` (nothing is raised for these), `rejected`.

        Raises:
            UserError: For rows that hold no inputs or targets, or labels that the model does not know.
        """
        report = self.report if (self.folder / "training.json").exists() else {}
        with tempfile.TemporaryDirectory(prefix="peftcost-evaluate-") as scratch:
            file = file_of(rows, Path(scratch) / "rows.parquet")
            return evaluate(self.folder, file, report, skip_bad_rows, min_quality, devices)


def with_columns(rows: Any, roles: Sequence[str]) -> Any:
    """Bare inputs (texts, lists of tokens, pictures, sounds, paths; pairs of texts where there are two roles) as rows of
    these columns; whatever else is left as it is."""
    is_bare = isinstance(rows, Sequence) and not isinstance(rows, str) and len(rows) > 0
    if not is_bare or (isinstance(rows[0], Mapping) and not has_bytes(rows[0]) and not has_samples(rows[0])):
        return rows
    if len(roles) == 1:
        return [{roles[0]: row} for row in rows]
    for i, row in enumerate(rows):
        if isinstance(row, str) or not isinstance(row, Sequence) or len(row) != len(roles):
            raise UserError(f"data[{i}] is {row!r}, but the model takes {len(roles)} texts: a pair ({', '.join(roles)}).")
    return [dict(zip(roles, row, strict=True)) for row in rows]
