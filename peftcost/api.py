"""The verbs as Python calls: `peftcost.search(task, budget="4gpu-h") -> Run`, `peftcost.resume(path)`."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from peftcost.core.budget import parse_budget
from peftcost.core.setup import method_of
from peftcost.core.statistics import NonInferiority
from peftcost.core.versions import versions
from peftcost.cost.device import Device
from peftcost.engine.messages import Done, failure_of
from peftcost.errors import PeftcostError, UserError
from peftcost.methods import get_method
from peftcost.methods.plain import TRAINED
from peftcost.recipe.recipe import load_recipe, recipe_of, recipe_yaml
from peftcost.recipe.warm_start import prior_runs_of
from peftcost.recommend.policies import Recommendation, recommend
from peftcost.recommend.result import build_result, evidence_of, front_of, setup_entries, test_entry
from peftcost.report.html import write_report
from peftcost.runner.executor import LocalExecutor
from peftcost.runner.runner import BudgetSpent
from peftcost.searcher.controller import Controller, SearchRun
from peftcost.searcher.evidence import evidence_in
from peftcost.searcher.forecast import forecast, options_of
from peftcost.searcher.planner import plan, prepare_all, priors, sizes, starting_points
from peftcost.searcher.proposals import Proposals
from peftcost.searcher.spec import SearchSpec, checked_confidence, load_spec
from peftcost.searcher.state import SearchState
from peftcost.store.journal import Journal
from peftcost.store.run_folder import RunFolder, free_run_path, new_run_folder, open_run_folder
from peftcost.store.study import Study
from peftcost.task.task import Task, load_task, task_yaml
from peftcost.tasks import get_task_type

__all__ = ["Run", "budget_sizes", "load_recipe", "load_task", "resume", "search"]

OnChange = Callable[[SearchState], None]
BASELINES_SECONDS, BASELINES_SHARE = 60.0, 0.1
"""How long the baselines may take, which are on no bill: so many seconds, or this share of the budget where that is more."""


@dataclass(frozen=True)
class Run:
    """A run. Everything is read from its folder."""

    folder: RunFolder

    @property
    def result(self) -> dict[str, Any]:
        """result.json."""
        return self.folder.read_result()

    @property
    def front(self) -> list[dict[str, Any]]:
        """The best trade-offs: those of result.json's setups that no other beats on quality, cost and memory."""
        result = self.result
        return [entry for entry in result["setups"] if entry["id"] in result["front"]]

    def recommend(self, policy: str = "non-inferior", confidence: float | None = None, **constraints: Any) -> Recommendation:
        """Another question to the same evidence; trains nothing. confidence: the run's own, if not given.

        constraints: min_quality, max_memory_bytes, max_gpu_seconds.
        """
        result = self.result
        state = SearchState()
        state.apply_all(Journal(self.folder.journal_file).events)
        metric = get_task_type(result["task"]["task"]).metrics[result["task"]["metric"]]
        found = evidence_in(self.folder, metric, result["task"]["seed"]).replicates(state)
        if found is None:
            raise UserError(f"{self.folder.path} has no measured setup to recommend from.")
        n_dev, recommended = result["task"]["rows"]["dev"], result["recommendation"] or {}
        confidence = recommended.get("confidence") if confidence is None else confidence
        criterion = NonInferiority(result["task"]["margin"], checked_confidence(confidence, state.config))
        return recommend(evidence_of(result["setups"]), found, criterion, policy, n_dev, **constraints)

    def report(self) -> dict[str, Path]:
        """Write report.html, report.md and front.png; their paths."""
        return write_report(self.folder.path)


def search(
    task: Task | str | Path,
    budget: str,
    *,
    methods: Sequence[str] | None = None,
    seed: int = 0,
    devices: str | None = None,
    price: float | None = None,
    out: Path | str | None = None,
    warm_start: Sequence[Path | str] = (),
    confidence: float | None = None,
    on_change: OnChange = lambda state: None,
    command: str = "peftcost.search",
) -> Run:
    """Find the cheapest setup that is as good as the best one, within the budget.

    budget: "4gpu-h", "30gpu-min", "90gpu-s", "2h", "10usd" (with price per GPU-hour), or several with commas between. out:
    the run's folder, made here (default runs/NAME). warm_start: folders of earlier runs, or recipes, of similar tasks.
    confidence: with which a cheaper setup has to be shown to be as good, 0.95 if not given.
    on_change: called with the state a few times a second.
    """
    asked = parse_budget(budget, price)
    spec = load_spec(task, methods, seed, devices, command, confidence)
    limit = asked.limit_gpu_seconds(len(spec.devices))
    path = checked_out_path(out, spec.task)
    prior_runs = prior_runs_of([Path(source) for source in warm_start])
    journal, state = Journal(), SearchState()
    with tempfile.TemporaryDirectory(prefix="peftcost-") as scratch:
        executor = LocalExecutor(spec.devices, Path(scratch) / "workers.log")
        with executor, Holding(Controller(executor, journal, state, on_change)) as controller:
            controller.record("budget", limit_gpu_seconds=limit, wall_seconds=asked.wall_seconds, asked=budget)
            record_spec(controller, spec)
            if warm_start:
                controller.record("warmed", **prior_runs)
            prepared = plan(controller, spec)
            folder = new_run_folder(path)
            folder.write(folder.task_file, task_yaml(spec.task))
            journal.move_to(folder.journal_file)
            executor.log = folder.log_file
            with single_writer(folder):
                return conclude(controller, search_run(spec, state, folder, prepared), spec)


def resume(
    path: Path | str,
    budget: str | None = None,
    *,
    price: float | None = None,
    on_change: OnChange = lambda state: None,
) -> Run:
    """Go on with a run that was interrupted; with budget="+1gpu-h", go on further with a finished one."""
    folder = open_run_folder(Path(path))
    with single_writer(folder):
        journal, state = Journal(folder.journal_file), SearchState()
        state.apply_all(journal.events)
        opened = next(event for event in journal.events if event["event"] == "opened")
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
        )
        check_unchanged(opened["fingerprints"], spec.fingerprints, folder)
        executor = LocalExecutor(spec.devices, folder.log_file)
        controller = Controller(executor, journal, state, on_change)
        controller.release()  # what was held when the last session ended is booked up to its last sign of life
        with executor, Holding(controller):
            if budget is not None:
                more = parse_budget(budget.removeprefix("+"), price)
                limit = state.limit_gpu_seconds + more.limit_gpu_seconds(len(devices))
                controller.record("budget", limit_gpu_seconds=limit, wall_seconds=more.wall_seconds, asked=budget)
            prepared = prepare_all(controller, spec)
            controller.acquire()
            return conclude(controller, search_run(spec, state, folder, prepared), spec)


def budget_sizes(spec: SearchSpec, on_change: OnChange = lambda state: None) -> dict[str, float]:
    """gpu-seconds of the three sizes of a search of this task on this machine: least, useful, confident."""
    with tempfile.TemporaryDirectory(prefix="peftcost-") as scratch:
        executor = LocalExecutor(spec.devices, Path(scratch) / "workers.log")
        with executor, Holding(Controller(executor, Journal(), SearchState(), on_change)) as controller:
            plan(controller, spec)
            return sizes(controller.state, len(spec.data.train))


class Holding(AbstractContextManager["Controller"]):
    """Whatever devices are held on leaving are given back."""

    def __init__(self, controller: Controller) -> None:
        self.controller = controller

    def __enter__(self) -> Controller:
        return self.controller

    def __exit__(self, *_: object) -> None:
        self.controller.release()
        self.controller.journal.close()


def conclude(controller: Controller, run: SearchRun, spec: SearchSpec) -> Run:
    """Search, recommend, open the test split, write result, recipe and report."""
    state, folder = controller.state, run.folder
    because = controller.search(run)
    controller.record("closing", because=because)
    controller.tidy_checkpoints(run)
    evidence = run.evidence.replicates(state)
    entries = setup_entries(state, evidence)
    recommendation = more = None
    if evidence is not None:
        recommendation = recommend(evidence_of(entries), evidence, run.criterion, n_dev=len(spec.data.dev))
        controller.record("recommended", setup=recommendation.id)
        suggest = partial(run.proposals.suggest, state)
        recommended = state.setup(recommendation.id)
        more = forecast(state, options_of(state, suggest), run.criterion.margin, recommended, state.limit_gpu_seconds)
    controller.release_idle()
    tests = open_tests(controller, run, spec, recommendation)
    controller.release()
    if tests is not None:
        tests |= baselines_of(controller, run, spec)
    if recommendation is not None:
        write_whole(controller, run, recommendation.id)
    forget_artifacts(
        run, state, {*front_of(entries), recommendation.id, recommendation.best} if recommendation is not None else set()
    )
    result = build_result(controller.journal.events, state, described(spec), entries, recommendation, more, tests)
    folder.write(folder.result_file, json.dumps(result, indent=1, ensure_ascii=False))
    if recommendation is not None:
        folder.write(folder.recipe_file, recipe_yaml(recipe_of(result, spec.task, spec.seed, folder.name)))
    write_report(folder.path)
    controller.record("finished")
    if recommendation is None:
        reasons = "; ".join(f"{e['method']}: {e['reason']}" for e in entries)
        raise PeftcostError(f"No setup could be measured ({because}). {reasons}. See {folder.path}/workers.log.")
    return Run(folder)


def open_tests(
    controller: Controller,
    run: SearchRun,
    spec: SearchSpec,
    recommendation: Recommendation | None,
) -> dict[str, dict[str, Any] | None] | None:
    """The test split, opened once: recommended, best observed, and the untuned model. None when the budget ran out."""
    base = spec.bases[base_of(spec, controller.state, recommendation)]
    out = run.folder.baselines
    payload = {"prepared": run.prepared[base.task.only_model], "seed": spec.seed, "out": str(out)}
    found: dict[str, dict[str, Any] | None] = {"recommended": None, "best": None}
    try:
        controller.run_one("untuned", payload)
        if recommendation is not None:
            for name, setup_id in (("recommended", recommendation.id), ("best", recommendation.best)):
                found[name] = test_of(controller, run, setup_id)
    except BudgetSpent:
        controller.record("warned", text="The budget did not last for the test split; it was not opened.")
        return None
    return {**found, "untuned": test_entry(out / "untuned.npy", run.metric, run.seed)}


def baselines_of(controller: Controller, run: SearchRun, spec: SearchSpec) -> dict[str, dict[str, Any] | None]:
    """What needs no model, on the test split and on no device's bill; what takes too long is left out, with a warning."""
    out = run.folder.baselines
    payload = {"task": spec.task.model_dump(mode="json"), "task_seed": spec.seed, "out": str(out)}
    seconds = max(BASELINES_SECONDS, BASELINES_SHARE * controller.state.limit_gpu_seconds)
    message = controller.run_aside("baselines", payload, seconds)
    if not isinstance(message, Done):
        text = f"A baseline (majority class, TF-IDF) is missing beside the test results: {failure_of(message)}."
        controller.record("warned", text=text)
    files = {name: out / f"{name}.npy" for name in ("majority", "tfidf")}
    return {name: test_entry(file, run.metric, run.seed) if file.exists() else None for name, file in files.items()}


def base_of(spec: SearchSpec, state: SearchState, recommendation: Recommendation | None) -> str:
    """The recommended setup's base, else the first."""
    chosen = None if recommendation is None else state.setup(recommendation.id).hyperparameters.get("model")
    return spec.task.models[0] if chosen is None else str(chosen)


def write_whole(controller: Controller, run: SearchRun, setup_id: str) -> None:
    """The setup's artifacts in the library's own format, where the search has kept only what was trained."""
    for trial in controller.state.decisive(setup_id):
        out = run.folder.trial(setup_id, trial.seed)
        if (out / "model" / TRAINED).exists():
            prepared, setup = run.prepared_for(trial.setup), trial.setup.as_dict()
            payload = {"prepared": prepared, "setup": setup, "seed": trial.seed, "out": str(out)}
            message = controller.run_aside("whole", payload)
            if not isinstance(message, Done):
                text = f"The recommended model could not be written as transformers does: {failure_of(message)}."
                controller.record("warned", text=text)


def forget_artifacts(run: SearchRun, state: SearchState, kept: set[str]) -> None:
    """Delete the models of setups that are neither on the front nor recommended; their rows stay."""
    for trial in state.measured():
        if trial.setup.id not in kept:
            run.folder.forget(trial.setup.id, trial.seed, "model")


def test_of(controller: Controller, run: SearchRun, setup_id: str) -> dict[str, Any] | None:
    """The test quality of a setup's saved artifact: of its first decisive seed, which no result has chosen."""
    folders = [(t, run.folder.trial(setup_id, t.seed)) for t in controller.state.decisive(setup_id)]
    kept = [(t, out) for t, out in folders if (out / "test_rows.npy").exists() or (out / "model").exists()]
    if not kept:  # it was no trade-off when the run ended before, and its models were deleted
        return None
    trial, out = kept[0]
    rows = out / "test_rows.npy"
    if not rows.exists():
        payload = {
            "prepared": run.prepared_for(trial.setup),
            "setup": trial.setup.as_dict(),
            "seed": trial.seed,
            "out": str(out),
        }
        controller.run_one("test", payload)
    return test_entry(rows, run.metric, run.seed)


def search_run(spec: SearchSpec, state: SearchState, folder: RunFolder, prepared: dict[str, str]) -> SearchRun:
    """Open the study, bring it in line with the journal, and put together what the controller works on."""
    spaces = {arm: get_method(method_of(arm)).space() for arm in sorted(state.arms)}
    study = Study(folder.study_file, folder.name, {method_of(arm): space for arm, space in spaces.items()})
    outcomes = {n: t.measurement for n, t in state.trials.items() if t.status in ("measured", "failed")}
    alive = {n for n, t in state.trials.items() if t.status == "interrupted"}
    study.sync_with_journal(outcomes, alive)
    plain = priors(state.arms, state.stops[0], state.cost.probes)
    starts = starting_points(plain, state.recipe_setups, state.earlier, spaces, state.config)
    return SearchRun(
        folder=folder,
        study=study,
        prepared=prepared,
        proposals=Proposals(spaces, starts, spec.seed),
        evidence=evidence_in(folder, spec.data.metric, spec.seed),
        starts=starts,
        metric=spec.data.metric,
        criterion=spec.criterion,
        seed=spec.seed,
    )


def described(spec: SearchSpec) -> dict[str, Any]:
    """The task part of result.json."""
    task, data = spec.task, spec.data
    return {
        "model": task.model,
        "data": task.model_dump(mode="json")["data"],
        "task": data.task_type.name,
        "columns": dict(data.columns),
        "metric": data.metric.name,
        "margin": data.margin,
        "seed": spec.seed,
        "labels": list(data.labels),
        "fingerprints": spec.fingerprints,
        "rows": {"train": len(data.train), "dev": len(data.dev), "test": len(data.test)},
    }


def record_spec(controller: Controller, spec: SearchSpec) -> None:
    controller.record(
        "opened",
        command=spec.command,
        seed=spec.seed,
        confidence=spec.confidence,
        methods=spec.methods,
        fingerprints=spec.fingerprints,
        devices=[device.as_dict() for device in spec.devices],
        versions=versions(),
    )


def checked_out_path(out: Path | str | None, task: Task) -> Path:
    """Where the run will lie; UserError before anything is spent if that cannot be."""
    path = Path(out) if out is not None else free_run_path(Path("runs"), task.short_name)
    if path.exists():
        raise UserError(f"{path} exists already; choose another --out, or go on with `peftcost resume {path}`.")
    parent = next(p for p in path.absolute().parents if p.exists())
    try:
        tempfile.TemporaryDirectory(prefix=".peftcost-", dir=parent).cleanup()
    except OSError as error:
        raise UserError(
            f"{path} cannot be made: {parent} is not a folder that can be written to ({error.strerror}); "
            "choose another --out."
        ) from error
    return path


def check_unchanged(then: dict[str, str], now: dict[str, str], folder: RunFolder) -> None:
    """UserError when data or model are not what the run began with."""
    for name in ("data", "model"):
        if then[name] != now[name]:
            raise UserError(
                f"The {name} of {folder.path} changed since the run began (fingerprint {then[name][:12]}, now "
                f"{now[name][:12]}); put the old one back, or start a new search."
            )


def single_writer(folder: RunFolder) -> FileLock:
    """A lock that lets one process write a run; UserError if another holds it."""
    lock = FileLock(folder.path / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise UserError(f"Another process is working on {folder.path}; wait for it or stop it.") from error
    return lock
