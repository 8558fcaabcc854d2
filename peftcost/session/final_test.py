"""The test split, opened once, at the end: the recommended setup beside what people would compare it with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peftcost.engine.asked import load_asked
from peftcost.engine.messages import Done, failure_of
from peftcost.recommend.policies import Recommendation
from peftcost.recommend.result import test_entry, written_scores
from peftcost.runner.runner import BudgetSpent
from peftcost.searcher.controller import Controller, SearchRun
from peftcost.searcher.spec import SearchSpec
from peftcost.searcher.state import SearchState
from peftcost.searcher.trial import Trial
from peftcost.task.check import copies_of
from peftcost.task.splits import TaskData
from peftcost.tasks import TaskType

BASELINES_SECONDS, BASELINES_SHARE = 60.0, 0.1
"""How long the baselines may take, which are on no bill: so many seconds, or this share of the budget where that is more."""


def open_tests(
    controller: Controller,
    run: SearchRun,
    spec: SearchSpec,
    recommendation: Recommendation | None,
) -> dict[str, Path | None] | None:
    """The test split, opened once: the files of the rows of the recommended setup, of the best observed, and of the untuned
    model. None when the budget ran out."""
    prepared = run.prepared[base_of(spec, controller.state, recommendation)]
    untuned = untuned_folder(run, prepared) / "untuned.npy"
    found: dict[str, Path | None] = {"recommended": None, "best": None}
    try:
        if not untuned.exists():
            controller.run_one("untuned", {"prepared": prepared, "seed": spec.seed, "out": str(untuned.parent)})
        if recommendation is not None:
            for name, setup_id in (("recommended", recommendation.id), ("best", recommendation.best)):
                found[name] = test_of(controller, run, setup_id)
    except BudgetSpent:
        controller.record("warned", text="The budget did not last for the test split; it was not opened.")
        return None
    return {**found, "untuned": untuned}


def untuned_folder(run: SearchRun, prepared: str) -> Path:
    """For what the base as it comes says, one of several in a folder of its own. prepared: the data as it reads them."""
    return run.folder.baselines / (Path(prepared).name if len(run.prepared) > 1 else "")


def test_qualities(files: Mapping[str, Path | None], run: SearchRun, data: TaskData) -> dict[str, dict[str, Any] | None]:
    """What `open_tests` and `baselines_of` found, judged. The user's own metric may take long, so no device is held
    meanwhile."""
    copies, baselines = copies_of(data.task_type, data.test), data.task_type.baselines()
    titles = {"untuned": untuned_title(data.task_type)} | {name: baseline.title for name, baseline in baselines.items()}
    found: dict[str, dict[str, Any] | None] = dict.fromkeys(files)
    for name, file in files.items():
        if file is not None:
            entry = test_entry(file, run.metric, run.seed, copies=copies)
            found[name] = entry | ({"title": titles[name]} if name in titles else {})
    return found


def untuned_title(kind: TaskType) -> str:
    """The base as it comes, as it is called beside others."""
    return "the untuned model under a fresh head" if kind.fresh_head else "the untuned model"


@dataclass(frozen=True)
class Answers:
    """What models wrote of these rows of test, each at most so many tokens long: a file a model."""

    rows: list[int]
    new_tokens: int
    files: dict[str, Path]

    def scored(self, run: SearchRun, data: TaskData) -> dict[str, Any]:
        """For the result."""
        kind, copies = data.task_type, copies_of(data.task_type, [data.test[i] for i in self.rows])
        scores = {model: written_scores(file, kind, run.seed, copies) for model, file in self.files.items()}
        return {"rows": len(self.rows), "new_tokens": self.new_tokens, **scores}


def answers_of(
    controller: Controller, run: SearchRun, spec: SearchSpec, recommendation: Recommendation | None
) -> Answers | None:
    """What the recommended setup and the untuned model write on a part of the test split; None where the task asks for no
    texts, or where the budget was spent before; with a warning where it was."""
    prepared = run.prepared[base_of(spec, controller.state, recommendation)]
    asked = load_asked(Path(prepared))
    if asked is None or recommendation is None:
        return None
    jobs: dict[str, dict[str, Any]] = {}
    tested = tested_trial(controller, run, recommendation.id)
    if tested is not None:
        trial, out = tested
        jobs["recommended"] = {
            "prepared": run.prepared_for(trial.setup),
            "setup": trial.setup.as_dict(),
            "seed": trial.seed,
            "out": str(out),
        }
    jobs["untuned"] = {"prepared": prepared, "setup": None, "seed": spec.seed, "out": str(untuned_folder(run, prepared))}
    files: dict[str, Path] = {}
    for name, payload in jobs.items():
        file = Path(payload["out"]) / "answers.npy"
        try:
            if not file.exists():
                controller.run_one("answer", {**payload, "name": file.stem})
        except BudgetSpent:
            missing = " and ".join(f"the {model} model" for model in jobs if model not in files)
            controller.record("warned", text=f"The budget did not last for {missing} to write answers.")
            break
        files[name] = file
    return Answers(asked.rows, asked.new_tokens, files) if files else None


def baselines_of(controller: Controller, run: SearchRun, spec: SearchSpec) -> dict[str, Path | None]:
    """The files of the rows of what needs no model, on the test split and on no device's bill; what takes too long is left
    out, with a warning."""
    out = run.folder.baselines
    baselines = spec.data.task_type.baselines()
    payload = {"task": spec.task.model_dump(mode="json"), "task_seed": spec.seed, "out": str(out)}
    seconds = max(BASELINES_SECONDS, BASELINES_SHARE * controller.state.limit_gpu_seconds)
    message = controller.run_aside("baselines", payload, seconds)
    if not isinstance(message, Done):
        titles = ", ".join(baseline.title for baseline in baselines.values())
        text = f"A baseline ({titles}) is missing beside the test results: {failure_of(message)}."
        controller.record("warned", text=text)
    files = {name: out / f"{name}.npy" for name in baselines}
    return {name: file if file.exists() else None for name, file in files.items()}


def base_of(spec: SearchSpec, state: SearchState, recommendation: Recommendation | None) -> str:
    """The recommended setup's base, else the first."""
    chosen = None if recommendation is None else state.setup(recommendation.id).hyperparameters.get("model")
    return spec.task.models[0] if chosen is None else str(chosen)


def test_of(controller: Controller, run: SearchRun, setup_id: str) -> Path | None:
    """The file of the test rows of a setup's saved artifact: of its first decisive seed, which no result has chosen."""
    tested = tested_trial(controller, run, setup_id)
    if tested is None:
        return None
    trial, out = tested
    rows = out / "test_rows.npy"
    if not rows.exists():
        payload = {
            "prepared": run.prepared_for(trial.setup),
            "setup": trial.setup.as_dict(),
            "seed": trial.seed,
            "out": str(out),
        }
        controller.run_one("test", payload)
    return rows


def tested_trial(controller: Controller, run: SearchRun, setup_id: str) -> tuple[Trial, Path] | None:
    """The trial that stands for a setup on the test split, and its folder; None where it was no trade-off when the run ended
    before, and its models were deleted."""
    folders = [(t, run.folder.trial(setup_id, t.seed)) for t in controller.state.decisive(setup_id)]
    return next(((t, out) for t, out in folders if (out / "test_rows.npy").exists() or (out / "model").exists()), None)
