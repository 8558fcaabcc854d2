"""Begins a run, or goes on with one; holds the devices meanwhile, and gives them back."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from peftcost.core.budget import parse_budget
from peftcost.core.setup import method_of
from peftcost.core.versions import versions
from peftcost.cost.device import Device
from peftcost.errors import UserError
from peftcost.methods import get_method
from peftcost.recipe.warm_start import lessons_of
from peftcost.runner.executor import LocalExecutor
from peftcost.runner.observer import Observer
from peftcost.searcher.controller import Controller, SearchRun
from peftcost.searcher.evidence import evidence_in
from peftcost.searcher.planner import best_bets, plan, prepare_all, priors, sizes
from peftcost.searcher.proposals import Proposals
from peftcost.searcher.question import Question, ask
from peftcost.searcher.state import SearchState
from peftcost.session.conclude import conclude
from peftcost.store.journal import Journal
from peftcost.store.run_folder import (
    RunFolder,
    check_unchanged,
    checked_out_path,
    new_run_folder,
    open_run_folder,
    single_writer,
)
from peftcost.store.study import Study
from peftcost.task.task import load_task, task_yaml


def begin(
    question: Question,
    budget: str,
    price: float | None,
    out: Path | str | None,
    warm_start: Sequence[Path | str],
    observers: Sequence[Observer],
) -> Path:
    """Search within the budget. Returns the run's folder, which is made once the methods' first steps are timed."""
    asked = parse_budget(budget, price)
    limit = asked.limit_gpu_seconds(len(question.devices))
    path = checked_out_path(out, question.task.short_name)
    lessons = lessons_of([Path(source) for source in warm_start])
    journal, state = Journal(), SearchState()
    with tempfile.TemporaryDirectory(prefix="peftcost-") as scratch:
        executor = LocalExecutor(question.devices, Path(scratch) / "workers.log")
        with executor, Holding(Controller(executor, journal, state, observers)) as controller:
            controller.record("budget", limit_gpu_seconds=limit, wall_seconds=asked.wall_seconds, asked=budget)
            record_question(controller, question)
            if warm_start:
                controller.record("warmed", **lessons)
            prepared = plan(controller, question)
            folder = new_run_folder(path)
            folder.write(folder.task_file, task_yaml(question.task))
            journal.move_to(folder.journal_file)
            executor.log = folder.log_file
            with single_writer(folder):
                conclude(controller, search_run(question, state, folder, prepared), question)
    return path


def go_on(path: Path, budget: str | None, price: float | None, observers: Sequence[Observer]) -> None:
    """Go on with an interrupted run; with more budget, go on further with a finished one."""
    folder = open_run_folder(path)
    with single_writer(folder):
        journal, state = Journal(folder.journal_file), SearchState()
        state.apply_all(journal.events)
        opened = next(event for event in journal.events if event["event"] == "opened")
        devices = [Device(**raw) for raw in opened["devices"]]
        if state.phase == "finished" and budget is None:
            raise UserError(f"{path} is finished; give --budget +1gpu-h (for example) to go on further.")
        question = ask(
            load_task(folder.task_file),
            opened["methods"],
            opened["seed"],
            f"{devices[0].kind}:{len(devices)}",
            confidence=opened.get("confidence"),
            config=state.config,
        )
        check_unchanged(opened["fingerprints"], question.fingerprints, folder)
        executor = LocalExecutor(question.devices, folder.log_file)
        controller = Controller(executor, journal, state, observers)
        controller.release()  # what was held when the last session ended is booked up to its last sign of life
        with executor, Holding(controller):
            if budget is not None:
                more = parse_budget(budget.removeprefix("+"), price)
                limit = state.limit_gpu_seconds + more.limit_gpu_seconds(len(devices))
                controller.record("budget", limit_gpu_seconds=limit, wall_seconds=more.wall_seconds, asked=budget)
            prepared = prepare_all(controller, question)
            controller.acquire()
            conclude(controller, search_run(question, state, folder, prepared), question)


def budget_sizes(question: Question, observers: Sequence[Observer] = ()) -> dict[str, float]:
    """gpu-seconds of the three sizes of a search of this task on this machine: least, useful, confident."""
    with tempfile.TemporaryDirectory(prefix="peftcost-") as scratch:
        executor = LocalExecutor(question.devices, Path(scratch) / "workers.log")
        with executor, Holding(Controller(executor, Journal(), SearchState(), observers)) as controller:
            plan(controller, question)
            return sizes(controller.state, len(question.data.train))


class Holding(AbstractContextManager["Controller"]):
    """Whatever devices are held on leaving are given back."""

    def __init__(self, controller: Controller) -> None:
        self.controller = controller

    def __enter__(self) -> Controller:
        return self.controller

    def __exit__(self, *_: object) -> None:
        self.controller.release()
        self.controller.close()


def search_run(question: Question, state: SearchState, folder: RunFolder, prepared: dict[str, str]) -> SearchRun:
    """Open the study, bring it in line with the journal, and put together what the controller works on."""
    spaces = {arm: get_method(method_of(arm)).space() for arm in sorted(state.arms)}
    study = Study(folder.study_file, folder.name, {method_of(arm): space for arm, space in spaces.items()})
    outcomes = {n: t.measurement for n, t in state.trials.items() if t.status in ("measured", "failed")}
    alive = {n for n, t in state.trials.items() if t.status == "interrupted"}
    study.sync_with_journal(outcomes, alive)
    plain = priors(state.arms, state.stops[0], state.cost.probes)
    bets = best_bets(plain, state.recipe_setups, state.earlier, spaces, state.config)
    return SearchRun(
        folder=folder,
        study=study,
        prepared=prepared,
        proposals=Proposals(spaces, bets, question.seed),
        evidence=evidence_in(folder, question.data.metric, question.seed),
        bets=bets,
        metric=question.data.metric,
        standard=question.standard,
        seed=question.seed,
    )


def record_question(controller: Controller, question: Question) -> None:
    """Write down what is asked, so that `go_on` asks the same."""
    controller.record(
        "opened",
        command=question.command,
        seed=question.seed,
        confidence=question.confidence,
        methods=question.methods,
        fingerprints=question.fingerprints,
        devices=[device.as_dict() for device in question.devices],
        versions=versions(),
    )
