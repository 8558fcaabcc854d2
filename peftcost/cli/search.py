"""Runs a search from the command line and shows what it found."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

from peftcost.cli.output import print_json


def run_search(
    task: Any,
    budget: str,
    names: list[str] | None,
    seed: int,
    devices: str | None,
    price: float | None,
    out: Path | None,
    warm_start: list[Path],
    confidence: float | None,
    quiet: bool,
    as_json: bool,
) -> None:
    from peftcost import api
    from peftcost.cli.progress import announce, watching

    announce(budget, price, devices, quiet)
    with watching(quiet) as view:
        run = api.search(
            task,
            budget,
            methods=names,
            seed=seed,
            devices=devices,
            price=price,
            out=out,
            warm_start=warm_start,
            confidence=confidence,
            observers=[view],
            command=shlex.join(["peftcost", *sys.argv[1:]]),
        )
    show_result(run, quiet, as_json)


def print_sizes(task: Any, names: list[str] | None, seed: int, devices: str | None, price: float | None) -> None:
    """Without a budget: what a least, a useful and a confident search would take."""
    from peftcost.core.budget import format_seconds
    from peftcost.searcher.question import ask
    from peftcost.session.search import budget_sizes

    question = ask(task, names, seed, devices)
    count = len(question.devices)
    print("What a search of this task takes on this machine:")
    for name, gpu_seconds in budget_sizes(question).items():
        money = f", {gpu_seconds / 3600 * price:.2f} usd" if price is not None else ""
        wall = format_seconds(gpu_seconds / count)
        print(f"  {name:<10} --budget {gpu_seconds / 60:.0f}gpu-min   ({wall} on the clock{money})")
    print("Choose one with --budget.")


def show_result(run: Any, quiet: bool, as_json: bool) -> None:
    if as_json:
        print_json(run.result)
        return
    from rich.console import Console

    from peftcost.cli.tables import result_tables

    console = Console()
    result = run.result
    if quiet:
        console.print(result["recommendation"]["because"], markup=False, highlight=False)
        return
    for table in result_tables(result):
        console.print(table)
    for name in ("report.html", "recipe.yaml"):
        print(run.folder.path / name)
