"""Recipes for tests of what does not depend on a seed."""

from __future__ import annotations

from peftcost.recipe.recipe import Recipe


def promising(recipe: Recipe, same_data: tuple[float, float], new_data: tuple[float, float] = (0.0, 1.0)) -> Recipe:
    """The recipe with this for a promise. A real one is broken by one seed in forty, which no test may depend on."""
    promise = {"prediction_interval": same_data, "new_data_interval": new_data}
    return recipe.model_copy(update={"expected": recipe.expected.model_copy(update=promise)})
