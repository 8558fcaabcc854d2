"""A trained model's folder, to predict with."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from peftcost.data.in_memory import file_of
from peftcost.recipe.predict import described_in_worker, read_card
from peftcost.store.learning_curve import LearningCurve, curve_of, read_lines
from peftcost.task.inputs import read_inputs
from peftcost.tasks import get_task_type

CURVE = "curve.jsonl"


class TrainedModel:
    """A folder that a recipe's training wrote. Plain PEFT and transformers load it as well.

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
        report: dict[str, Any] = json.loads((self.folder / "training.json").read_text(encoding="utf-8"))
        return report

    @property
    def learning_curve(self) -> LearningCurve:
        """The losses and evaluations of the training."""
        return curve_of(read_lines(self.folder / CURVE))

    def predict(self, rows: Any, *, devices: str | None = None) -> list[dict[str, Any]]:
        """Label rows, in a process of their own.

        Args:
            rows: Texts (or lists of tokens; pictures or their paths), a data frame, a `datasets.Dataset`, a list of dicts, or
                a data file's path. Of columns, the task's is read, or the one that is called like its role (`text`,
                `tokens`, `image`).
            devices: "cpu", "cuda" or "mps". Default: an idle GPU, else the CPU.

        Returns:
            One dict a row, in order: `label` and a probability for each label; of tokens, `tags` and their `probabilities`.

        Raises:
            UserError: For rows that hold no inputs.
        """
        task = self._card["dataset_info"]["task"]
        with tempfile.TemporaryDirectory(prefix="peftcost-predict-") as scratch:
            file = file_of(with_column(rows, get_task_type(task).input_roles[0]), Path(scratch) / "rows.parquet")
            examples = read_inputs(file, task, self._card["columns"])
        return described_in_worker(self.folder, self._card, examples, devices)


def with_column(rows: Any, column: str) -> Any:
    """Bare inputs (texts, lists of tokens, pictures, paths) as rows of this column; whatever else is left as it is."""
    is_bare = isinstance(rows, Sequence) and not isinstance(rows, str) and len(rows) > 0
    return [{column: row} for row in rows] if is_bare and not isinstance(rows[0], Mapping) else rows
