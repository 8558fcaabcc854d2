"""A recipe as Python callers hold it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from peftcost.data.in_memory import file_of
from peftcost.progress import status
from peftcost.recipe.model import TrainedModel
from peftcost.recipe.recipe import Recipe
from peftcost.recipe.train import train_recipe
from peftcost.store.run_folder import free_run_path


class TrainableRecipe(Recipe):
    """A recommendation made repeatable: task, setup, seeds, and what it promises (`expected`)."""

    def train(
        self,
        data: Any = None,
        *,
        out: Path | str | None = None,
        seed: int | None = None,
        devices: str | None = None,
        devices_per_setup: int = 1,
        early_stopping: int | None = None,
        min_quality: float | None = None,
        gate_rows: int | None = None,
        gate_against: Path | str | None = None,
        allow_other_classes: bool = False,
        gate: bool = True,
        quiet: bool = False,
    ) -> TrainedModel:
        """Train the recipe's setup from scratch, and hold it to what the recipe promises.

        Args:
            data: In place of the recipe's: a data frame, a `datasets.Dataset`, a list of dicts, or a data file's path. All of
                its rows are trained on but a dev split for the gate, for as many epochs as the recipe's.
            out: The model's folder, made here. Default: models/NAME.
            seed: Default: one that the search has not used.
            devices: "cpu", "cuda" or "mps". Default: an idle GPU, else the CPU.
            devices_per_setup: On how many devices it is trained, as in devices="cuda:4", devices_per_setup=4.
            early_stopping: Stop after so many evaluations of dev without a rise.
            min_quality: The least dev quality, whatever the recipe promises.
            gate_rows: Of new data, in that dev split. Default: as few as resolve the margin, at most a fifth.
            gate_against: The folder of a model that was trained before. On the same dev rows the new one may be worse by the
                margin at most.
            allow_other_classes: Whether new data may have other classes than the recipe.
            gate: Whether it is held to what the recipe promises. What is asked for by `min_quality` and `gate_against` holds
                in any case.
            quiet: Show no progress.

        Returns:
            The model. Its `report` says what was measured.

        Raises:
            GateError: When quality or cost is not what the recipe promises or is asked for; the model is kept. When new data
                has other columns or classes, or too few dev rows for a gate that can fail; nothing is trained then.
            UserError: When `out` exists, or data or model are not what the recipe was made from.
            PeftcostError: When the written model predicts otherwise once it is reloaded. Nothing is kept then.
        """
        folder = free_run_path(Path("models"), self.task.short_name) if out is None else Path(out)
        with tempfile.TemporaryDirectory(prefix="peftcost-data-") as scratch, status(quiet) as tell:
            file = None if data is None else file_of(data, Path(scratch) / "train.parquet")
            return train_recipe(
                self,
                folder,
                data=file,
                seed=seed,
                devices=devices,
                devices_per_setup=devices_per_setup,
                early_stopping=early_stopping,
                min_quality=min_quality,
                gate_rows=gate_rows,
                gate_against=None if gate_against is None else Path(gate_against),
                allow_other_classes=allow_other_classes,
                gate=gate,
                on_progress=tell,
            )
