"""Searches, recommends, opens the test split, and writes result, recipe and report."""

from __future__ import annotations

from functools import partial

from peftcost.engine.messages import Done, failure_of
from peftcost.errors import PeftcostError
from peftcost.methods.plain import TRAINED
from peftcost.recipe.recipe import recipe_of, recipe_yaml
from peftcost.recommend.policies import recommend
from peftcost.recommend.result import build_result, evidence_of, front_of, setup_entries, task_facts
from peftcost.report.html import write_report
from peftcost.searcher.controller import Controller, SearchRun
from peftcost.searcher.forecast import forecast, options_of
from peftcost.searcher.spec import SearchSpec
from peftcost.searcher.state import SearchState
from peftcost.session.final_test import baselines_of, open_tests
from peftcost.task.task import relative_paths


def conclude(controller: Controller, run: SearchRun, spec: SearchSpec) -> None:
    """Search, recommend, open the test split, write result, recipe and report.

    PeftcostError, with the reasons, when no setup could be measured.
    """
    state, folder = controller.state, run.folder
    task = relative_paths(spec.task, folder.path)
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
    result = build_result(controller.journal.events, state, task_facts(spec, task), entries, recommendation, more, tests)
    folder.write(folder.result_file, result.model_dump_json(indent=1))
    if recommendation is not None:
        folder.write(folder.recipe_file, recipe_yaml(recipe_of(result, recommendation, task, spec.seed, folder.name)))
    write_report(folder.path)
    controller.record("finished")
    if recommendation is None:
        reasons = "; ".join(f"{e['method']}: {e['reason']}" for e in entries)
        raise PeftcostError(f"No setup could be measured ({because}). {reasons}. See {folder.path}/workers.log.")


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
