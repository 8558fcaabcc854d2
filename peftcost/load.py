"""What Python callers open: runs, recipes, trained models."""

from __future__ import annotations

from pathlib import Path

from peftcost.recipe import recipe
from peftcost.recipe.model import TrainedModel
from peftcost.recipe.trainable import TrainableRecipe
from peftcost.run import Run


def load_run(path: Path | str) -> Run:
    """Open a finished or interrupted run.

    Args:
        path: The run's folder, as in "runs/tweets".

    Raises:
        UserError: When that is no run's folder.
    """
    return Run(path)


def load_recipe(path: Path | str) -> TrainableRecipe:
    """Read a recipe, to train from.

    Args:
        path: A recipe.yaml, as a run's folder holds it. Relative paths in it are taken from its folder.

    Raises:
        UserError: For what is wrong with it, with file and field.
    """
    return TrainableRecipe(**dict(recipe.load_recipe(Path(path))))


def load_model(path: Path | str) -> TrainedModel:
    """Open a trained model, to predict with.

    Args:
        path: A folder that a recipe's training wrote.

    Raises:
        UserError: When that is no such folder.
    """
    return TrainedModel(path)
