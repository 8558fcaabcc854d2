"""Searches, recommends, opens the test split, and writes result, recipe and report."""

from __future__ import annotations

from functools import partial

from peftcost.errors import PeftcostError
from peftcost.recipe.recipe import recipe_of, recipe_yaml
from peftcost.recommend.advise import advise
from peftcost.recommend.result import build_result, front_of, setup_entries, task_facts
from peftcost.report.examples import Shown
from peftcost.report.html import write_report
from peftcost.searcher.controller import Controller, SearchRun
from peftcost.searcher.spec import SearchSpec
from peftcost.session.final_test import answer_scores, answers_of, baselines_of, open_tests, test_qualities
from peftcost.session.keep import DEFAULT, checked_keep, keep_checkpoints, keep_models, whole_setups
from peftcost.session.more_rows import more_rows, train_on_parts
from peftcost.store.journal import opened_of
from peftcost.task.task import relative_paths


def conclude(controller: Controller, run: SearchRun, spec: SearchSpec) -> None:
    """Search, recommend, open the test split, write result, recipe and report.

    PeftcostError, with the reasons, when no setup could be measured.
    """
    state, folder = controller.state, run.folder
    task = relative_paths(spec.task, folder.path)
    because = controller.search(run)
    controller.record("closing", because=because)
    evidence = run.evidence.replicates(state)
    entries = setup_entries(state, evidence)
    recommendation = more = None
    if evidence is not None:
        suggest = partial(run.proposals.suggest, state)
        recommendation, more = advise(state, entries, evidence, run.criterion, len(spec.data.dev), suggest)
        controller.record("recommended", setup=recommendation.id)
    controller.release_idle()
    opened = open_tests(controller, run, spec, recommendation)
    written = None if opened is None else answers_of(controller, run, spec, recommendation)
    parts = {}
    if opened is not None and recommendation is not None:
        parts = train_on_parts(controller, run, spec, state.setup(recommendation.id))
    controller.release()
    kind, tests, answers = spec.data.task_type, None, None
    if opened is not None:
        tests = test_qualities(opened, run, kind) | baselines_of(controller, run, spec)
    if written is not None:
        answers = answer_scores(written, run, kind)
    rows = None
    if parts and recommendation is not None and evidence is not None:
        rows = more_rows(parts, run, len(spec.data.train), evidence, recommendation.id)
    front, keep = front_of(entries), checked_keep(opened_of(controller.journal.events).get("keep", DEFAULT))
    whole = whole_setups(keep, state, front, recommendation.id) if recommendation is not None else set()
    keep_checkpoints(controller, run, keep, whole)
    keep_models(controller, run, whole, trained={*front, recommendation.best} if recommendation is not None else set())
    result = build_result(
        controller.journal.events, state, task_facts(spec, task), entries, recommendation, more, tests, answers, rows
    )
    folder.write(folder.result_file, result.model_dump_json(indent=1))
    if recommendation is not None:
        folder.write(folder.recipe_file, recipe_yaml(recipe_of(result, recommendation, task, spec.seed, folder.name)))
    write_report(folder.path, Shown(examples=opened_of(controller.journal.events).get("examples", True)))
    controller.record("finished")
    if recommendation is None:
        reasons = "; ".join(f"{e['method']}: {e['reason']}" for e in entries)
        raise PeftcostError(f"No setup could be measured ({because}). {reasons}. See {folder.path}/workers.log.")
