"""The verbs as Python calls. They leave the caller's process as it was: what trains is a process of its own."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from peftcost.core.budget import EXAMPLES
from peftcost.errors import UserError
from peftcost.load import load_model, load_recipe, load_run
from peftcost.observers.progress_bar import watched
from peftcost.plan_aside import plan
from peftcost.run import Run
from peftcost.runner.observer import Observer
from peftcost.searcher.spec import load_spec
from peftcost.session.search import begin, go_on
from peftcost.store.learning_curve import LearningCurve, learning_curve
from peftcost.task.given import given_task
from peftcost.task.task import Task, load_task

__all__ = [
    "LearningCurve",
    "Run",
    "learning_curve",
    "load_model",
    "load_recipe",
    "load_run",
    "load_task",
    "plan",
    "resume",
    "search",
]


def search(
    task: Task | Mapping[str, Any] | str | Path | None = None,
    budget: str | None = None,
    *,
    data: Any = None,
    label: str | None = None,
    model: str | list[str] | None = None,
    methods: Sequence[str] | None = None,
    seed: int = 0,
    devices: str | None = None,
    devices_per_setup: int = 1,
    price: float | None = None,
    out: Path | str | None = None,
    warm_start: Sequence[Path | str] = (),
    confidence: float | None = None,
    quiet: bool = False,
    keep: str = "recommended",
    track: Sequence[str] = (),
    examples: bool = True,
    observers: Sequence[Observer] = (),
    command: str = "peftcost.search",
) -> Run:
    """Find the cheapest setup that is as good as the best one, within the budget.

    Args:
        task: A task.yaml, its fields as a dict, a Task, or `builtin:tweets`. Without one, `data` and `label` make it.
        budget: Device time ("4gpu-h", "30gpu-min", "90gpu-s"), time on the clock ("2h"), money ("10usd", with `price`), or
            several with commas between.
        data: In place of the task's: a data frame, a `datasets.Dataset`, a list of dicts, a file's path, or a dict of these
            by split (train, dev, test). Rows in memory are kept in the run's folder.
        label: The column of labels, where there is no task.
        model: In place of the task's: a hub id, a folder, `builtin:minilm`; or several, to search over.
        methods: Names from `peftcost methods`, or ["all"]. Default: the task's, else the few that usually win.
        seed: Of the split and of the search.
        devices: "cpu", "cpu:2", "cuda", "cuda:2" or "mps". Default: an idle GPU, else the CPU.
        devices_per_setup: On how many of them a setup is trained together. Each takes its share of every batch.
        price: Of a device, in usd an hour.
        out: The run's folder, made here. Default: runs/NAME.
        warm_start: Folders of earlier runs, or recipes, of similar tasks.
        confidence: With which a cheaper setup has to be shown to be as good. Default: 0.95.
        quiet: Show no progress bar.
        keep: Whose whole model and checkpoints stay in the folder: "recommended" (its model), "front" or "all".
        track: Trackers to report to: "tensorboard", "mlflow", "wandb".
        examples: Show in the report the dev examples that are hardest for the recommended setup.
        observers: Told what happens; one that raises is left out.
        command: What result.json calls the command.

    Returns:
        The finished run.

    Raises:
        UserError: For what is wrong with task, data or arguments, and for a budget that does not last for one setup.
        PeftcostError: When no setup could be measured.
    """
    if budget is None:
        raise UserError(f"A search needs --budget, {EXAMPLES}.")
    with tempfile.TemporaryDirectory(prefix="peftcost-data-") as folder:
        chosen = given_task(task, data, label, model, Path(folder))
        spec = load_spec(chosen, methods, seed, devices, command, confidence, devices_per_setup=devices_per_setup)
        return Run(
            begin(spec, budget, price, out, warm_start, watched(observers, quiet), Path(folder), keep, track, examples)
        )


def resume(
    path: Path | str,
    budget: str | None = None,
    *,
    price: float | None = None,
    quiet: bool = False,
    observers: Sequence[Observer] = (),
) -> Run:
    """Go on with a run that was interrupted, or further with a finished one.

    Args:
        path: The run's folder.
        budget: More budget, as in "+1gpu-h". A finished run needs it.
        price: Of a device, in usd an hour, for a budget in usd.
        quiet: Show no progress bar.
        observers: Told what happens; one that raises is left out.

    Returns:
        The finished run.

    Raises:
        UserError: When that is no run, another process works on it, or its data or model have changed.
    """
    go_on(Path(path), budget, price, watched(observers, quiet))
    return Run(path)
