"""Measures what of a suite is not measured yet, and compares."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from peftcost.bench import measure, searches
from peftcost.bench.cells import Comparison
from peftcost.bench.measure import Say
from peftcost.bench.suite import Suite, contenders_of, load_suite, tasks_of
from peftcost.core.budget import format_seconds, parse_budget
from peftcost.core.versions import versions
from peftcost.cost.device import Device, choose_devices
from peftcost.runner.books import Books
from peftcost.runner.curve import CurveFile
from peftcost.runner.executor import LocalExecutor
from peftcost.runner.prepare import OnBase, on_base
from peftcost.runner.runner import Runner
from peftcost.store.journal import Journal
from peftcost.store.run_folder import RunFolder, single_writer
from peftcost.task.splits import load_task_data


def run_suite(
    path: Path, folder: Path, devices: str | None, say: Say, devices_per_setup: int = 1, budget: str | None = None
) -> Comparison:
    """Measure what is missing, as far as the budget lasts, and compare all that is there.

    budget: in place of the suite's. What was measured is a file in the folder, so a suite that was interrupted, or whose
    budget was spent, goes on where it stopped.
    """
    suite = load_suite(path)
    (folder / "measurements").mkdir(parents=True, exist_ok=True)
    asked = budget or suite.budget
    chosen = choose_devices(devices)[:devices_per_setup]
    limit = math.inf if asked is None else parse_budget(asked).limit_gpu_seconds(len(chosen))
    with single_writer(RunFolder(folder)):
        if suite.search is not None:
            return searched(suite, path, folder, devices, devices_per_setup, limit, say)
        return measured(suite, path, folder, chosen, limit, say)


def measured(suite: Suite, path: Path, folder: Path, devices: list[Device], limit: float, say: Say) -> Comparison:
    """Of fixed setups."""
    bases = {name: on_base(task, load_task_data(task, seed=0), seed=0) for name, task in tasks_of(suite, path).items()}
    setups = [fields.to_setup() for fields in suite.setups]
    wanted = measure.wanted_of(list(bases), setups, suite.seeds)
    before = measure.measured_before(folder, wanted, bases)
    missing = [one for one in wanted if one not in before]
    say(f"{len(before)} of {len(wanted)} trainings are measured")
    spent = train_missing(folder, missing, bases, devices, limit, say)
    contenders = contenders_of(setups)
    trainings = list(measure.trainings_of(folder, wanted, contenders))
    return Comparison(
        title=f"{len(contenders)} setups on {len(bases)} {'task' if len(bases) == 1 else 'tasks'}",
        source="",
        tasks=[measure.bench_task(name, base) for name, base in bases.items()],
        contenders=list(contenders.values()),
        trainings=trainings,
        cells=measure.cells_of(folder, wanted, trainings, bases),
        facts=facts(suite, path, devices[0], limit, spent),
    )


def train_missing(
    folder: Path, missing: list[measure.Wanted], bases: Mapping[str, OnBase], devices: list[Device], limit: float, say: Say
) -> float:
    """Train them within the limit, which holds over all sessions of the folder; what all of them have spent."""
    journal, books = journal_in(folder), Books()
    books.apply_all(journal.events)
    curve = CurveFile(folder / "measurements" / "curve.jsonl")
    executor = LocalExecutor(devices, folder / "workers.log", len(devices))
    runner = Runner(executor, journal, books, [curve])
    runner.release()  # what was held when the last session ended is booked up to its last sign of life
    runner.record("budget", limit_gpu_seconds=limit, wall_seconds=None)
    if missing:
        with executor:
            try:
                lasted = measure.measure_all(runner, curve, missing, bases, folder, say)
            finally:
                runner.release()
            if not lasted:
                say(f"The budget of {format_seconds(limit)} is spent; the same command with a larger --budget goes on.")
    runner.close()
    return runner.spent()


def journal_in(folder: Path) -> Journal:
    """What earlier sessions wrote, to be gone on with."""
    file = folder / "events.jsonl"
    if file.exists():
        return Journal(file)
    journal = Journal()
    journal.move_to(file)
    return journal


def searched(
    suite: Suite, path: Path, folder: Path, devices: str | None, devices_per_setup: int, limit: float, say: Say
) -> Comparison:
    """Of a search in each task with each seed. A search that would pass the limit is not begun."""
    assert suite.search is not None
    tasks = tasks_of(suite, path)
    wanted = searches.searches_of(folder, list(tasks), suite.seeds)
    one_more = parse_budget(suite.search.budget).limit_gpu_seconds(1)
    for one in wanted:
        if not one.is_finished and spent_on(wanted) + one_more <= limit:
            searches.search(one, tasks[one.task], suite.search, devices, devices_per_setup, say)
    done = [one for one in wanted if one.is_finished]
    if len(done) < len(wanted):
        left = f"{len(wanted) - len(done)} of {len(wanted)} searches are left"
        say(f"{left}: the budget of {format_seconds(limit)} is spent; the same command with a larger --budget goes on.")
    contenders = searches.contenders_in(done)
    seen = [name for name in tasks if any(one.task == name for one in done)]
    bases = {name: on_base(tasks[name], load_task_data(tasks[name], seed=0), seed=0) for name in seen}
    return Comparison(
        title=f"Searches of {suite.search.budget} on {len(tasks)} {'task' if len(tasks) == 1 else 'tasks'}",
        source="Each method stands there with the best setup that a search of its own in each task has found.",
        tasks=[measure.bench_task(name, base) for name, base in bases.items()],
        contenders=list(contenders.values()),
        trainings=list(searches.trainings_of(done)),
        cells=searches.cells_of(done, seen, list(contenders)),
        facts=facts(suite, path, choose_devices(devices)[0], limit, spent_on(done)),
    )


def spent_on(wanted: list[searches.Searched]) -> float:
    return math.fsum(one.result["budget"]["spent_gpu_seconds"] for one in wanted if one.is_finished)


def facts(suite: Suite, path: Path, device: Device, limit: float, spent: float) -> dict[str, Any]:
    return {
        "command": f"peftcost bench {path}",
        "seeds": suite.seeds,
        "device": device.as_dict(),
        "budget": {"limit_gpu_seconds": limit if math.isfinite(limit) else None, "spent_gpu_seconds": spent},
        "versions": versions(),
    }
