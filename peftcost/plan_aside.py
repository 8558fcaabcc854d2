"""`peftcost.plan`: the prediction runs in a process of its own, since it configures torch for the device."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from peftcost import planning
from peftcost.planning import Plan
from peftcost.progress import status
from peftcost.runner.child import in_child
from peftcost.task.given import given_task
from peftcost.task.task import Task


def plan(
    task: Task | Mapping[str, Any] | str | Path | None = None,
    *,
    data: Any = None,
    label: str | None = None,
    model: str | None = None,
    device: str = "this",
    budget: str | None = None,
    price: float | None = None,
    methods: Sequence[str] | None = None,
    batch_size: int | None = None,
    max_length: int | None = None,
    rows: int | None = None,
    quiet: bool = False,
) -> Plan:
    """Predict memory, time and cost of each method before anything is spent, in a process of its own.

    Args:
        task: As for `search`. Without task and data, `model` with assumed data is planned for.
        data: As for `search`.
        label: As for `search`.
        model: In place of the task's; without a task a folder with a config.json is enough.
        device: "this", "cpu", a published one ("h100", "a100-80gb", "rtx4090", "t4") or a YAML file.
        budget: Then the plan says what it buys.
        price: Of a device, in usd an hour.
        methods: Default: all.
        batch_size: Examples a step.
        max_length: Tokens at which inputs are cut.
        rows: Training rows that are assumed without a task.
        quiet: Show no progress.

    Returns:
        The setups, cheapest first: bytes at the peak, seconds a step, device-seconds an epoch, and whether they fit.

    Raises:
        UserError: For what is wrong with task, data or arguments.
    """
    with tempfile.TemporaryDirectory(prefix="peftcost-data-") as folder, status(quiet) as tell:
        if task is not None or data is not None:
            task, model = given_task(task, data, label, model, Path(folder)), None
        return in_child(
            planning.plan,
            tell,
            task=task,
            model=model,
            device=device,
            budget=budget,
            price=price,
            methods=methods,
            batch_size=batch_size,
            max_length=max_length,
            rows=rows,
        )
