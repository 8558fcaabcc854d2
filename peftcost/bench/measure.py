"""Trains the setups of a suite, one after the other, each alone on its devices. What is measured is a file, and stays."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from peftcost.bench.cells import BenchTask, Cell, Cells, Contender, Training, mean_of
from peftcost.core.setup import Setup
from peftcost.core.setup_words import setup_words
from peftcost.core.statistics import resample_qualities
from peftcost.engine.job import TrainJob
from peftcost.engine.messages import Done, failure_of
from peftcost.errors import UserError
from peftcost.runner.curve import CurveFile
from peftcost.runner.prepare import OnBase, prepare_data
from peftcost.runner.runner import BudgetSpent, Runner
from peftcost.store.run_folder import RunFolder
from peftcost.task.check import copies_of

Say = Callable[[str], None]
NOT_YET = "not measured: the budget was spent before"


@dataclass(frozen=True)
class Wanted:
    """A training that a suite asks for."""

    task: str
    setup: Setup
    seed: int


def wanted_of(tasks: Sequence[str], setups: Sequence[Setup], seeds: Sequence[int]) -> list[Wanted]:
    """Seed by seed, so that a budget that ends early has compared everything once before anything twice."""
    return [Wanted(task, setup, seed) for seed in seeds for task in tasks for setup in setups]


def file_of(folder: Path, wanted: Wanted) -> Path:
    return folder / "measurements" / f"{plain_name(wanted.task)}--{wanted.setup.id}--{wanted.seed}.json"


def plain_name(task: str) -> str:
    """A task's name as files have it."""
    return "".join(c if c.isalnum() else "-" for c in task)


def measured_before(folder: Path, wanted: Sequence[Wanted], bases: Mapping[str, OnBase]) -> list[Wanted]:
    """What has its file already. UserError where that was measured on other data or another base."""
    found = [one for one in wanted if file_of(folder, one).exists()]
    for one in found:
        then = read(folder, one).get("fingerprints")
        if then is not None and then != bases[one.task].fingerprints:
            raise UserError(
                f"{folder} holds measurements of other data or of another base for {one.task}; choose another --out, or "
                "delete it."
            )
    return found


def measure_all(
    runner: Runner, curve: CurveFile, missing: Sequence[Wanted], bases: Mapping[str, OnBase], folder: Path, say: Say
) -> bool:
    """Train all of them. False where the budget did not last."""
    prepared = {name: prepare_data(runner, bases[name]) for name in dict.fromkeys(one.task for one in missing)}
    runner.acquire()
    for number, one in enumerate(missing, start=1):
        file = file_of(folder, one)
        curve.begin(file.with_suffix(".curve.jsonl"))
        try:
            facts = train(runner, prepared[one.task], one, file.with_suffix(".npy"))
        except BudgetSpent:
            return False
        if facts["reason"] is None:
            curve.end(facts)
        told = {"task": one.task, **one.setup.as_dict(), "id": one.setup.id, "fingerprints": bases[one.task].fingerprints}
        RunFolder(folder).write(file, json.dumps(told | facts, indent=1))
        reached = facts["reason"] or f"{facts['quality']:.3f} in {facts['gpu_seconds']:.1f} s"
        words = setup_words(one.setup.method, one.setup.hyperparameters, None)
        say(f"{number}/{len(missing)} {one.task}: {words}, seed {one.seed}: {reached}")
    return True


def train(runner: Runner, prepared: str, one: Wanted, rows: Path) -> dict[str, Any]:
    """One training; its dev rows go to the file `rows`. A setup that fails is a result too, with its reason."""
    with tempfile.TemporaryDirectory(prefix="peftcost-bench-") as scratch:
        ranks = len(runner.executor.devices)
        job = TrainJob(prepared, one.setup, one.seed, scratch, ranks=ranks, whole=False)
        (message,) = runner.run_all("train", [job.as_dict()])
        if isinstance(message, Done):
            shutil.copyfile(Path(scratch) / "dev_rows.npy", rows)
            return {**message.result, "reason": None}
    return {"seed": one.seed, "reason": failure_of(message)}


def read(folder: Path, one: Wanted) -> dict[str, Any]:
    return json.loads(file_of(folder, one).read_text(encoding="utf-8"))


def trainings_of(folder: Path, wanted: Sequence[Wanted], contenders: Mapping[str, Contender]) -> Iterator[Training]:
    """Each that was asked for, measured or not."""
    names = {field.name for field in fields(Training)}
    for one in wanted:
        told = read(folder, one) if file_of(folder, one).exists() else {"reason": NOT_YET}
        setup = one.setup
        known: dict[str, Any] = {name: value for name, value in told.items() if name in names}
        asked: dict[str, Any] = {
            "task": one.task,
            "contender": setup.id,
            "method": setup.method,
            "setup": contenders[setup.id].name,
            "id": setup.id,
            "seed": one.seed,
            "stop_examples": setup.stop_examples,
        }
        yield Training(**known | asked)


def cells_of(folder: Path, wanted: Sequence[Wanted], trainings: Sequence[Training], bases: Mapping[str, OnBase]) -> Cells:
    """What each setup reached: means over seeds, resampled together. A setup of which a seed failed has reached nothing."""
    found: dict[tuple[str, str], Cell] = {}
    for task, base in bases.items():
        own: dict[str, list[tuple[Wanted, Training]]] = {}
        for one, training in zip(wanted, trainings, strict=True):
            if one.task == task and training.reason != NOT_YET:
                own.setdefault(training.contender, []).append((one, training))
        whole = {key: got for key, got in own.items() if all(training.reason is None for _, training in got)}
        if not whole:
            continue
        metric = base.data.metric
        rows = {k: [np.load(file_of(folder, one).with_suffix(".npy")) for one, _ in got] for k, got in whole.items()}
        copies = copies_of(base.data.task_type, base.data.dev)
        draws = resample_qualities(rows, metric.compute, limits=metric.limits, copies=copies)
        for key, got in whole.items():
            measured = [training for _, training in got]
            timed = [training for training in measured if not training.contended] or measured
            found[task, key] = Cell(
                quality=draws.observed[key],
                values=draws.values[key],
                gpu_seconds=mean_of([t.gpu_seconds for t in timed]),
                peak_bytes=mean_of([t.peak_bytes for t in measured]),
                latency_seconds=mean_of([t.latency_seconds for t in timed]),
                seeds=len(measured),
                setup=measured[0].setup,
                limits=metric.limits,
            )
    return found


def bench_task(name: str, base: OnBase) -> BenchTask:
    data = base.data
    kind, metric = data.task_type.name, data.metric.name
    return BenchTask(name, kind, base.task.only_model, metric, data.margin, len(data.train), "dev", len(data.dev))
