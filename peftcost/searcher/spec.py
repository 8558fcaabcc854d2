"""What to search for: everything that is known before the first device-second."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from peftcost.core.statistics import CONFIDENCE, NonInferiority
from peftcost.cost.device import Device, choose_devices
from peftcost.errors import UserError
from peftcost.methods import get_method, methods
from peftcost.runner.prepare import OnBase, on_base
from peftcost.runner.slot import slots_of
from peftcost.searcher.config import DEFAULT_CONFIG, SearchConfig
from peftcost.task.splits import TaskData, load_task_data
from peftcost.task.task import Task, load_task
from peftcost.tasks import TaskType


@dataclass(frozen=True)
class SearchSpec:
    """bases: the models, by name. devices_per_setup: as many train a setup together."""

    task: Task
    data: TaskData
    bases: dict[str, OnBase]
    methods: list[str]
    devices: list[Device]
    seed: int
    command: str
    confidence: float
    devices_per_setup: int = 1

    @property
    def fingerprints(self) -> dict[str, str]:
        """Of the data and of the model; of several models one after the other."""
        models = ",".join(base.fingerprints["model"] for base in self.bases.values())
        return {**self.data.fingerprints, "model": models}

    @property
    def criterion(self) -> NonInferiority:
        return NonInferiority(self.data.margin, self.confidence)


def load_spec(
    task: Task | str | Path,
    methods: Sequence[str] | None = None,
    seed: int = 0,
    devices: str | None = None,
    command: str = "peftcost.search",
    confidence: float | None = None,
    config: SearchConfig = DEFAULT_CONFIG,
    devices_per_setup: int = 1,
) -> SearchSpec:
    """Read and check the task, its data, its model, the methods and the devices. UserError for what is not right."""
    if not 0 <= seed < config.first_confirm_seed:
        raise UserError(
            f"--seed {seed} must be from 0 to {config.first_confirm_seed - 1}; the seeds above are for confirmation."
        )
    task = task if isinstance(task, Task) else load_task(task)
    named = methods_chosen(task, methods)  # a name that is wrong is told before the data are read
    data = load_task_data(task, seed)
    names = default_methods(data.task_type) if named is None else named
    if not data.test:
        raise UserError("The task has no test split (splits.test is 0), which a search needs; leave it out.")
    bases = {name: on_base(task.on(name), data, seed) for name in task.models}
    confidence = checked_confidence(confidence, config)
    chosen = choose_devices(devices)
    slots_of(len(chosen), devices_per_setup)  # before anything is begun: they have to come out even
    return SearchSpec(task, data, bases, names, chosen, seed, command, confidence, devices_per_setup)


def checked_confidence(confidence: float | None, config: SearchConfig) -> float:
    """The default for None; UserError for one that proves nothing, or that the bootstrap cannot tell."""
    if confidence is None:
        return CONFIDENCE
    low, high = config.confidences
    if not low <= confidence <= high:
        raise UserError(f"--confidence {confidence:g} must be from {low} to {high}; {CONFIDENCE} is the default.")
    return confidence


def methods_chosen(task: Task | None, chosen: Sequence[str] | None) -> list[str] | None:
    """The methods to try: those chosen on the command line, else the task's; None where nobody has chosen."""
    wanted = chosen or (task.methods if task is not None else None)
    return None if wanted is None else methods_named(wanted)


def default_methods(kind: TaskType) -> list[str]:
    """The few that usually win, of those that have something to train in this task."""
    return [name for name, m in methods().items() if m.default and (kind.fresh_head or not m.needs_fresh_head)]


def methods_named(wanted: Sequence[str] | str) -> list[str]:
    """The names, each once and known; every method for "all"."""
    if wanted == "all" or list(wanted) == ["all"]:
        return list(methods())
    return [found.name for found in (get_method(name) for name in dict.fromkeys(wanted))]
