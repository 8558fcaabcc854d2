"""Recipes for tests of what does not depend on a seed."""

from __future__ import annotations

from typing import TypeVar

from peftcost.recipe.recipe import Recipe

R = TypeVar("R", bound=Recipe)


def promising(recipe: R, same_data: tuple[float, float], new_data: tuple[float, float] = (0.1, 1.0)) -> R:
    """The recipe with this for a promise. A real one is broken by one seed in forty, which no test may depend on."""
    promise = {"prediction_interval": same_data, "new_data_interval": new_data}
    return recipe.model_copy(update={"expected": recipe.expected.model_copy(update=promise)})
