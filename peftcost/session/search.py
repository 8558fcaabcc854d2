"""Begins a run, or goes on with one; holds the devices meanwhile, and gives them back."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

from peftcost.core.budget import parse_budget
from peftcost.core.setup import method_of
from peftcost.core.versions import versions
from peftcost.cost.device import Device
from peftcost.errors import UserError
from peftcost.methods import get_method
from peftcost.observers.curves import LearningCurves
from peftcost.observers.tracking import Tracking
from peftcost.recipe.warm_start import prior_runs_of
from peftcost.recommend.result import task_facts
from peftcost.runner.executor import LocalExecutor
from peftcost.runner.observer import Observer
from peftcost.runner.worker_log import worker_log
from peftcost.searcher.controller import Controller, SearchRun
from peftcost.searcher.evidence import evidence_in, remember_copies
from peftcost.searcher.planner import lengthen, plan, prepare_all, priors, sizes, starting_points
from peftcost.searcher.proposals import Proposals
from peftcost.searcher.spec import SearchSpec, load_spec
from peftcost.searcher.state import SearchState
from peftcost.session.conclude import conclude
from peftcost.session.keep import DEFAULT, Keep, checked_keep
from peftcost.store.journal import Journal, opened_of
from peftcost.store.run_folder import (
    RunFolder,
    check_unchanged,
    checked_out_path,
    new_run_folder,
    open_run_folder,
    single_writer,
)
from peftcost.store.study import Study
from peftcost.task.check import copies_of
from peftcost.task.task import absolute_paths, load_task, relative_paths, task_yaml
from peftcost.trackers import Tracker, get_tracker


def begin(
    spec: SearchSpec,
    budget: str,
    price: float | None,
    out: Path | str | None,
    warm_start: Sequence[Path | str],
    observers: Sequence[Observer],
    given: Path,
    keep: str = DEFAULT,
    track: Sequence[str] = (),
    examples: bool = True,
) -> Path:
    """Search within the budget. Returns the run's folder, which is made once the methods' first steps are timed.

    given: holds the data that the caller had in memory, if anything; the run keeps it. keep, track,
    examples: as `peftcost.search` has them.
    """
    keep, trackers = checked_keep(keep), [get_tracker(name) for name in track]
    asked = parse_budget(budget, price)
    limit = asked.limit_gpu_seconds(len(spec.devices))
    path = checked_out_path(out, spec.task.short_name)
    prior_runs = prior_runs_of([Path(source) for source in warm_start])
    journal, state = Journal(), SearchState()
    with worker_log() as log:
        executor = LocalExecutor(spec.devices, log, spec.devices_per_setup)
        with executor, Holding(Controller(executor, journal, state, observers)) as controller:
            controller.record("budget", limit_gpu_seconds=limit, wall_seconds=asked.wall_seconds, asked=budget)
            record_spec(controller, spec, keep, track, examples)
            if warm_start:
                controller.record("warmed", **prior_runs)
            prepared = plan(controller, spec)
            folder = new_run_folder(path)
            spec = with_data_kept(spec, given, folder)
            folder.write(folder.task_file, task_yaml(relative_paths(spec.task, folder.path)))
            journal.move_to(folder.journal_file)
            shutil.copyfile(log, folder.log_file)
            log.unlink()
            executor.log = folder.log_file
            for observer in onlookers(folder, trackers):
                controller.observers.add(observer)
            with single_writer(folder):
                conclude(controller, search_run(spec, state, folder, prepared), spec)
    return path


def go_on(path: Path, budget: str | None, price: float | None, observers: Sequence[Observer]) -> None:
    """Go on with an interrupted run; with more budget, go on further with a finished one."""
    folder = open_run_folder(path)
    with single_writer(folder):
        journal, state = Journal(folder.journal_file), SearchState()
        state.apply_all(journal.events)
        opened = opened_of(journal.events)
        trackers = [get_tracker(name) for name in opened.get("track", ())]
        devices = [Device(**raw) for raw in opened["devices"]]
        if state.phase == "finished" and budget is None:
            raise UserError(f"{path} is finished; give --budget +1gpu-h (for example) to go on further.")
        spec = load_spec(
            load_task(folder.task_file),
            opened["methods"],
            opened["seed"],
            f"{devices[0].kind}:{len(devices)}",
            confidence=opened.get("confidence"),
            config=state.config,
            devices_per_setup=opened.get("devices_per_setup", 1),
        )
        check_unchanged(opened["fingerprints"], spec.fingerprints, folder)
        executor = LocalExecutor(spec.devices, folder.log_file, spec.devices_per_setup)
        controller = Controller(executor, journal, state, [*observers, *onlookers(folder, trackers)])
        controller.release()  # what was held when the last session ended is booked up to its last sign of life
        with executor, Holding(controller):
            controller.record("continued")
            if budget is not None:
                more = parse_budget(budget.removeprefix("+"), price)
                limit = state.limit_gpu_seconds + more.limit_gpu_seconds(len(devices))
                controller.record("budget", limit_gpu_seconds=limit, wall_seconds=more.wall_seconds, asked=budget)
                lengthen(controller)
            prepared = prepare_all(controller, spec)
            controller.acquire()
            conclude(controller, search_run(spec, state, folder, prepared), spec)


def with_data_kept(spec: SearchSpec, given: Path, folder: RunFolder) -> SearchSpec:
    """The spec, with what lies in `given` copied into the run's folder and read from there from now on."""
    if not any(given.iterdir()):
        return spec
    shutil.copytree(given, folder.data)
    task = absolute_paths(relative_paths(spec.task, given), folder.data.absolute())
    bases = {name: replace(base, task=task.on(name)) for name, base in spec.bases.items()}
    return replace(spec, task=task, bases=bases)


SIZES_SECONDS = 20.0
"""For probing, where only the sizes of a search are asked for."""


def budget_sizes(spec: SearchSpec, observers: Sequence[Observer] = ()) -> dict[str, float]:
    """gpu-seconds of the three sizes of a search of this task on this machine: least, useful, confident."""
    with worker_log() as log:
        executor = LocalExecutor(spec.devices, log, spec.devices_per_setup)
        with executor, Holding(Controller(executor, Journal(), SearchState(), observers)) as controller:
            plan(controller, spec, most_gpu_seconds=SIZES_SECONDS)
            return sizes(controller.state)


class Holding(AbstractContextManager["Controller"]):
    """Whatever devices are held on leaving are given back."""

    def __init__(self, controller: Controller) -> None:
        self.controller = controller

    def __enter__(self) -> Controller:
        return self.controller

    def __exit__(self, *_: object) -> None:
        self.controller.release()
        self.controller.close()


def onlookers(folder: RunFolder, trackers: Sequence[Tracker]) -> list[Observer]:
    """Who looks on at every search, and the trackers that were asked for."""
    return [LearningCurves(folder), *(Tracking(tracker, folder) for tracker in trackers)]


def search_run(spec: SearchSpec, state: SearchState, folder: RunFolder, prepared: dict[str, str]) -> SearchRun:
    """Open the study, bring it in line with the journal, and put together what the controller works on."""
    spaces = {arm: get_method(method_of(arm)).space() for arm in sorted(state.arms)}
    study = Study(folder.study_file, folder.name, {method_of(arm): space for arm, space in spaces.items()})
    outcomes = {n: t.measurement for n, t in state.trials.items() if t.status in ("measured", "failed")}
    alive = {n for n, t in state.trials.items() if t.status == "interrupted"}
    study.sync_with_journal(outcomes, alive)
    plain = priors(state.arms, state.stops[0], state.cost.probes)
    starts = starting_points(state, plain, spaces)
    remember_copies(folder, copies_of(spec.data.task_type, spec.data.dev))
    return SearchRun(
        folder=folder,
        study=study,
        prepared=prepared,
        proposals=Proposals(spaces, starts, spec.seed),
        evidence=evidence_in(folder, spec.data.metric, spec.seed),
        metric=spec.data.metric,
        criterion=spec.criterion,
        seed=spec.seed,
    )


def record_spec(controller: Controller, spec: SearchSpec, keep: Keep, track: Sequence[str], examples: bool) -> None:
    """Write down what is asked, so that `go_on` asks the same."""
    controller.record(
        "opened",
        command=spec.command,
        seed=spec.seed,
        confidence=spec.confidence,
        methods=spec.methods,
        keep=keep,
        track=list(track),
        examples=examples,
        task=task_facts(spec, spec.task),
        fingerprints=spec.fingerprints,
        devices=[device.as_dict() for device in spec.devices],
        devices_per_setup=spec.devices_per_setup,
        versions=versions(),
    )
