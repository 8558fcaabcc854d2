"""`peftcost.plan`: what each method would take, before anything is paid. No weights are read, no device is needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from peftcost.core.budget import parse_budget
from peftcost.cost.machines import find_machine
from peftcost.errors import UserError
from peftcost.planning.budget import what_it_buys
from peftcost.planning.predict import PlannedSetup, planned, typical
from peftcost.planning.subject import model_subject, task_subject
from peftcost.planning.target import machine_target, target_here
from peftcost.planning.writing import PlannedWriting, planned_writing
from peftcost.searcher.spec import default_methods, methods_chosen, methods_named
from peftcost.task.task import Task, load_task


@dataclass(frozen=True)
class Plan:
    """The setups, cheapest first, and what a budget buys a search: the longest length at which every method that it tries and
    that fits can be measured and the contenders confirmed, and how many setups that makes. task: the task type.
    writing: the answers that a search asks for at its end."""

    model: str
    device: str
    memory_bytes: int
    batch_size: int
    tokens: int
    rows: int
    setups: list[PlannedSetup]
    buys: dict[str, Any] | None
    task: str = ""
    writing: PlannedWriting | None = None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def plan(
    task: Task | str | Path | None = None,
    *,
    model: str | None = None,
    device: str = "this",
    budget: str | None = None,
    price: float | None = None,
    methods: Sequence[str] | None = None,
    batch_size: int | None = None,
    max_length: int | None = None,
    rows: int | None = None,
    on_progress: Callable[[str], None] = lambda text: None,
) -> Plan:
    """Predict memory, time and cost of every method on this device, from the model's configuration alone.

    task: as for `search`; without one, model and assumed data (rows, max_length tokens each). device: "this", "cpu",
    a published one ("h100", "a100-80gb", "rtx4090", "t4") or a YAML file. UserError for what is not right.
    """
    if batch_size is not None and batch_size < 1:
        raise UserError(f"--batch-size {batch_size} is no batch; give at least 1.")
    if rows is not None and rows < 1:
        raise UserError(f"--rows {rows} is no data; give at least 1.")
    limit = parse_budget(budget, price).limit_gpu_seconds(1) if budget is not None else None
    machine = None if device in ("this", "cpu") else find_machine(device)
    names = methods_named(methods or "all")
    loaded = load_task(task) if isinstance(task, str | Path) else task
    subject = task_subject(loaded, max_length) if loaded is not None else model_subject(model, max_length, rows)
    target = machine_target(machine) if machine is not None else target_here(device, on_progress)
    setups = []
    for name in names:
        on_progress(f"predicting {name}")
        setups += [planned(subject, target, name, choices, price) for choices in typical(name, batch_size, target)]
    setups.sort(key=lambda s: (s.reason is not None, not s.fits, s.gpu_seconds))
    batch = int(setups[0].hyperparameters["batch_size"] or 1)
    tried = methods_chosen(loaded, methods) or default_methods(subject.task_type)
    writing = planned_writing(subject, setups, target)
    writing_seconds = 0.0 if writing is None else writing.gpu_seconds / writing.models
    usual = [s for s in setups if s.method in tried]
    buys = what_it_buys(subject, usual, limit, writing_seconds) if limit is not None else None
    return Plan(
        subject.model,
        target.name,
        target.memory_bytes,
        batch,
        subject.longest,
        subject.rows,
        setups,
        buys,
        task=subject.task_type.name,
        writing=writing,
    )
