"""`peftcost methods`"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from peftcost.cli.options import JsonOption, ModelOption, TaskOption
from peftcost.cli.output import print_json


def methods(task: TaskOption = None, model: ModelOption = None, as_json: JsonOption = False) -> None:
    """List the methods: what each trains, and whether it can run here on the task's model."""
    rows = methods_rows(task, model)
    if as_json:
        print_json(rows)
        return
    from rich.console import Console

    from peftcost.cli.tables import methods_table

    Console().print(methods_table(rows))


def methods_rows(task: str | None, model: str | None) -> list[dict[str, Any]]:
    """One row a method: name, trains, default, fixed_horizon, choices, runs (None without a model), why, citation.

    The model is the one named, else the task's, else that of ./task.yaml if there is one. Each method is applied to a
    model of its configuration without weights, as `plan` does before it estimates a step.
    """
    from peftcost import methods as known
    from peftcost.cost.device import choose_devices
    from peftcost.data.fingerprint import resolve_model
    from peftcost.task.task import load_task

    loaded = load_task(task or "task.yaml") if task is not None or (model is None and Path("task.yaml").exists()) else None
    if model is None and loaded is not None:
        model = loaded.only_model
    config = None
    if model is not None:
        from transformers import AutoConfig

        from peftcost.engine.step_estimate import reason_against
        from peftcost.planning.subject import kind_and_targets

        config = AutoConfig.from_pretrained(str(resolve_model(model)))
        kind, targets = kind_and_targets(config, None if loaded is None else loaded.task)
    device_kind = choose_devices()[0].kind
    rows = []
    for name, method in known.methods().items():
        why = None if config is None else reason_against(config, kind, method, targets, device_kind)
        rows.append(
            {
                "name": name,
                "trains": method.trains,
                "default": method.default,
                "fixed_horizon": method.fixed_horizon,
                "choices": sorted(method.space()),
                "runs": None if config is None else why is None,
                "why": why,
                "citation": method.citation,
            }
        )
    return rows
