"""Runs a search from the command line."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

from peftcost import api
from peftcost.cli.progress import announce, watching
from peftcost.cli.show_result import Shown, show_result
from peftcost.cli.signals import signals
from peftcost.core.budget import check_price, format_seconds, typed_budget
from peftcost.searcher.spec import load_spec
from peftcost.session.search import budget_sizes
from peftcost.store.run_folder import free_run_path
from peftcost.task.task import Task


def run_search(
    task: Task,
    budget: str,
    shown: Shown,
    *,
    price: float | None = None,
    devices: str | None = None,
    out: Path | None = None,
    **asked: Any,
) -> None:
    """Search, with the progress on stderr, and show what was found. asked: what else `peftcost.search` takes."""
    announce(budget, price, devices, shown.quiet)
    signals.run = out or free_run_path(Path("runs"), task.short_name)
    command = shlex.join(["peftcost", *sys.argv[1:]])
    with watching(shown.quiet) as view:
        run = api.search(
            task,
            budget,
            price=price,
            devices=devices,
            out=signals.run,
            quiet=True,
            observers=[view],
            command=command,
            **asked,
        )
    show_result(run, shown)


def print_sizes(task: Task, price: float | None, **asked: Any) -> None:
    """Without a budget: what a least, a useful and a confident search would take. asked: methods, seed and devices."""
    check_price(price)
    spec = load_spec(task, **asked)
    count = len(spec.devices)
    with watching(quiet=False) as view:
        found = budget_sizes(spec, [view])
    print("What a search of this task takes on this machine:")
    for name, gpu_seconds in found.items():
        money = f", {gpu_seconds / 3600 * price:.2f} usd" if price is not None else ""
        wall = format_seconds(gpu_seconds / count)
        print(f"  {name:<10} --budget {typed_budget(gpu_seconds)}   ({wall} on the clock{money})")
    print("Choose one with --budget.")
