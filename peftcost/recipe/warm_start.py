"""What earlier runs and recipes of similar tasks teach a new search: their best setups, and what their setups measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from peftcost.core.setup import Setup
from peftcost.recipe.recipe import load_recipe
from peftcost.store.run_folder import open_run_folder


def prior_runs_of(sources: Sequence[Path]) -> dict[str, Any]:
    """What each source in turn teaches.

    UserError for what is neither a finished run's folder nor a recipe.
    """
    prior_runs: dict[str, Any] = {"sources": [str(source) for source in sources], "setups": [], "seen": []}
    for number, source in enumerate(sources, 1):
        if source.is_file():
            prior_runs["setups"].append(load_recipe(source).setup.to_setup().as_dict())
            continue
        result = open_run_folder(source).read_result()
        taught = prior_run_of(result["setups"], result["task"]["rows"]["dev"], number)
        for kind, found in taught.items():
            prior_runs[kind] += found
    return prior_runs


def prior_run_of(entries: Sequence[Mapping[str, Any]], dev_rows: int, number: int) -> dict[str, list[Any]]:
    """Of a run's setups, as result.json has them. setups: the best first. seen: every measurement of exploring, with the
    source's number; dev_rows: of those that do not say how many rows they are of."""
    prior_runs: dict[str, list[Any]] = {"setups": [], "seen": []}
    measured = [entry for entry in entries if entry["status"] == "measured"]
    for entry in sorted(measured, key=lambda e: -e["quality"]):
        setup = Setup.from_dict(entry).as_dict()
        prior_runs["setups"].append(setup)
        for m in entry["measurements"]:
            if m["role"] == "explore":
                reading = [m["quality"], m.get("dev_rows") or dev_rows, number]
                prior_runs["seen"].append({"setup": setup, "reading": reading})
    return prior_runs
