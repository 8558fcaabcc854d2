"""What earlier runs and recipes of similar tasks teach a new search: their best setups, and what their setups measured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from peftcost.core.setup import Setup
from peftcost.recipe.recipe import load_recipe
from peftcost.store.run_folder import open_run_folder


def lessons_of(sources: Sequence[Path]) -> dict[str, Any]:
    """setups: the best first, of each source in turn. seen: every measurement of exploring, with the source's number.

    UserError for what is neither a finished run's folder nor a recipe.
    """
    lessons: dict[str, Any] = {"sources": [str(source) for source in sources], "setups": [], "seen": []}
    for number, source in enumerate(sources, 1):
        if source.is_file():
            lessons["setups"].append(load_recipe(source).setup.to_setup().as_dict())
            continue
        result = open_run_folder(source).read_result()
        entries = [entry for entry in result["setups"] if entry["status"] == "measured"]
        for entry in sorted(entries, key=lambda e: -e["quality"]):
            setup = Setup.from_dict(entry).as_dict()
            lessons["setups"].append(setup)
            for m in entry["measurements"]:
                if m["role"] == "explore":
                    rows = m.get("dev_rows") or result["task"]["rows"]["dev"]
                    lessons["seen"].append({"setup": setup, "reading": [m["quality"], m["dev_loss"], rows, number]})
    return lessons
