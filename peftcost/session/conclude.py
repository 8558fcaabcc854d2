"""Searches, recommends, opens the test split, and writes result, recipe and report."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from peftcost.core.budget import format_seconds
from peftcost.errors import PeftcostError, UserError
from peftcost.recipe.recipe import recipe_of, recipe_yaml
from peftcost.recommend.advise import advise
from peftcost.recommend.result import build_result, front_of, setup_entries, task_facts
from peftcost.report.examples import Shown
from peftcost.report.html import write_report
from peftcost.searcher.controller import Controller, SearchRun
from peftcost.searcher.spec import SearchSpec
from peftcost.session.final_test import answers_of, baselines_of, open_tests, test_qualities
from peftcost.session.keep import DEFAULT, checked_keep, keep_checkpoints, keep_models, whole_setups
from peftcost.session.more_rows import more_rows, train_on_parts
from peftcost.store.journal import opened_of
from peftcost.store.run_folder import RunFolder
from peftcost.task.task import relative_paths


def conclude(controller: Controller, run: SearchRun, spec: SearchSpec) -> None:
    """Search, recommend, open the test split, write result, recipe and report.

    When no setup could be measured, PeftcostError with the reasons, or UserError where more budget is all that it takes.
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
    tests = rows = None
    if opened is not None:
        tests = test_qualities(opened | baselines_of(controller, run, spec), run, spec.data)
    answers = None if written is None else written.scored(run, spec.data)
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
        raise nothing_measured(controller, entries, folder)


def nothing_measured(controller: Controller, entries: Sequence[Mapping[str, Any]], folder: RunFolder) -> PeftcostError:
    """What to say when no setup was measured: how much more budget would do, where that is all that was missing."""
    state = controller.state
    lacking = {e["method"]: float(e["needs_gpu_seconds"]) for e in controller.journal.events if e["event"] == "skipped"}
    ended = [trial for trial in state.trials.values() if trial.cut_off]
    lacking |= {trial.setup.arm: trial.predicted.trial_seconds for trial in ended}
    cut_off = {trial.setup.id for trial in ended}
    if lacking and all(entry["status"] == "skipped" or entry.get("id") in cut_off for entry in entries):
        cheapest, needs = min(lacking.items(), key=lambda each: each[1])
        left = max(0.0, controller.left_after(state.config.safety * state.closing_seconds()))
        return UserError(
            f"The budget did not last for one setup: {cheapest} needs {format_seconds(needs)} of device time, and "
            f"{format_seconds(left)} were left beside the test; "
            f"`peftcost resume {folder.path} --budget +{max(0, math.ceil(needs - left)) + 1}gpu-s` goes on."
        )
    reasons = "; ".join(f"{entry['method']}: {entry['reason']}" for entry in entries)
    return PeftcostError(f"No setup could be measured. {reasons}. {folder.log_file} says more.")
