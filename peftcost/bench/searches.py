"""A search in each task with each seed: the best that it found of every method, and what it recommends."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from peftcost.bench.cells import Cell, Cells, Contender, Training, mean_of
from peftcost.bench.measure import Say, plain_name
from peftcost.bench.suite import SuiteSearch
from peftcost.errors import PeftcostError
from peftcost.report.by_method import best_by_method
from peftcost.report.choices import words_of
from peftcost.report.sentences import recommended_entry
from peftcost.searcher.evidence import evidence_in
from peftcost.searcher.spec import load_spec
from peftcost.searcher.state import SearchState
from peftcost.session.search import begin, go_on
from peftcost.store.journal import read_events
from peftcost.store.run_folder import RunFolder
from peftcost.task.task import Task
from peftcost.tasks import Metric, get_task_type
from peftcost.tasks.named_metric import metric_of

RECOMMENDED = "recommended"
"""The contender that is, in each task, what the search recommends."""


@dataclass(frozen=True)
class Searched:
    """A search of a task with a seed, and where it lies."""

    task: str
    seed: int
    path: Path

    @property
    def is_finished(self) -> bool:
        journal = RunFolder(self.path).journal_file
        return journal.exists() and state_of(journal).phase == "finished"

    @cached_property
    def result(self) -> dict[str, Any]:
        return RunFolder(self.path).read_result()

    @cached_property
    def metric(self) -> Metric:
        task = self.result["task"]
        return metric_of(get_task_type(task["task"]), task["metric"], task.get("metric_options"))

    @cached_property
    def entries(self) -> dict[str, Mapping[str, Any]]:
        """By contender, what it is in this search."""
        advised = recommended_entry(self.result)
        return best_by_method(self.result) | ({RECOMMENDED: advised} if advised is not None else {})

    @cached_property
    def draws(self) -> Mapping[str, np.ndarray]:
        """Of each setup's quality, as far as is expected of it; by id."""
        folder = RunFolder(self.path)
        found = evidence_in(folder, self.metric, self.result["task"]["seed"]).replicates(state_of(folder.journal_file))
        return {} if found is None else found.as_expected.values


def state_of(journal: Path) -> SearchState:
    """A search as its journal tells it."""
    state = SearchState()
    state.apply_all(read_events(journal))
    return state


def searches_of(folder: Path, tasks: Sequence[str], seeds: Sequence[int]) -> list[Searched]:
    searches = folder / "searches"
    return [Searched(task, seed, searches / f"{plain_name(task)}--{seed}") for seed in seeds for task in tasks]


def search(one: Searched, task: Task, asked: SuiteSearch, devices: str | None, devices_per_setup: int, say: Say) -> None:
    """Begin it, or go on with it. One that could measure nothing is a result too, with its reasons."""
    try:
        begin_or_go_on(one, task, asked, devices, devices_per_setup, say)
    except PeftcostError as error:
        if not one.is_finished:
            raise
        say(f"{one.task}, seed {one.seed}: {error}")


def begin_or_go_on(
    one: Searched, task: Task, asked: SuiteSearch, devices: str | None, devices_per_setup: int, say: Say
) -> None:
    if RunFolder(one.path).journal_file.exists():
        say(f"{one.task}, seed {one.seed}: goes on")
        go_on(one.path, None, None, [])
        return
    say(f"{one.task}, seed {one.seed}: a search of {asked.budget}")
    spec = load_spec(task, asked.methods, one.seed, devices, "peftcost bench", devices_per_setup=devices_per_setup)
    with tempfile.TemporaryDirectory(prefix="peftcost-data-") as given:
        begin(spec, asked.budget, None, one.path, (), [], Path(given))


def contenders_in(searches: Sequence[Searched]) -> dict[str, Contender]:
    """Every method that was measured anywhere, and what is recommended."""
    methods = dict.fromkeys(method for one in searches for method in best_by_method(one.result))
    return {method: Contender(method, f"{method}, its best setup", method) for method in methods} | {
        RECOMMENDED: Contender(RECOMMENDED, "what the search recommends", RECOMMENDED)
    }


def trainings_of(searches: Sequence[Searched]) -> Iterator[Training]:
    """The setups that stand for a method in each search, and those that are recommended; methods that were not measured, with
    the reason."""
    for one in searches:
        for entry in one.result["setups"]:
            if entry["method"] not in one.entries and entry["reason"]:
                name, reason = entry["method"], entry["reason"]
                yield Training(one.task, name, name, name, entry["id"] or name, one.seed, entry["stop_examples"], reason)
        for contender, entry in one.entries.items():
            figures = ("quality", "gpu_seconds", "peak_bytes", "latency_seconds", "artifact_bytes", "trainable_parameters")
            yield Training(
                task=one.task,
                contender=contender,
                method=entry["method"],
                setup=words_of(entry),
                id=entry["id"],
                seed=one.seed,
                stop_examples=entry["stop_examples"],
                **{name: entry[name] for name in figures},
            )


def cells_of(searches: Sequence[Searched], tasks: Sequence[str], contenders: Sequence[str]) -> Cells:
    """Means over the searches of a task; of a contender that one of them did not measure, nothing."""
    found = {}
    for task in tasks:
        own = [one for one in searches if one.task == task]
        for key in contenders:
            entries = [one.entries[key] for one in own if key in one.entries]
            if entries and len(entries) == len(own):
                found[task, key] = Cell(
                    quality=float(np.mean([entry["quality"] for entry in entries])),
                    values=np.mean([one.draws[e["id"]] for one, e in zip(own, entries, strict=True)], axis=0),
                    gpu_seconds=mean_of([entry["gpu_seconds"] for entry in entries]),
                    peak_bytes=mean_of([entry["peak_bytes"] for entry in entries]),
                    latency_seconds=mean_of([entry["latency_seconds"] for entry in entries]),
                    seeds=len(entries),
                    setup=" / ".join(dict.fromkeys(words_of(entry) for entry in entries)),
                    limits=own[0].metric.limits,
                )
    return found
