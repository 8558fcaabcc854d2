"""What a new search takes over from earlier runs and recipes of similar tasks: their best setups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from peftcost.core.setup import Setup
from peftcost.recipe.recipe import load_recipe
from peftcost.store.run_folder import open_run_folder


def prior_runs_of(sources: Sequence[Path]) -> dict[str, Any]:
    """What each source in turn gives: `recipes` their setups, runs theirs (`setups`).

    UserError for what is neither a finished run's folder nor a recipe.
    """
    prior_runs: dict[str, list[Any]] = {"sources": [str(source) for source in sources], "setups": [], "recipes": []}
    for source in sources:
        if source.is_file():
            prior_runs["recipes"].append(load_recipe(source).setup.to_setup().as_dict())
        else:
            prior_runs["setups"] += best_setups(open_run_folder(source).read_result()["setups"])
    return prior_runs


def best_setups(entries: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The measured setups of a run, as result.json has them, the best first."""
    measured = [entry for entry in entries if entry["status"] == "measured"]
    return [Setup.from_dict(entry).as_dict() for entry in sorted(measured, key=lambda e: -e["quality"])]
