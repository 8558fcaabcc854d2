"""`peftcost plan`"""

from __future__ import annotations

from typing import Annotated

import typer

from peftcost.cli.options import (
    BUDGET,
    SEARCH,
    TASK,
    BudgetOption,
    JsonOption,
    MethodsOption,
    PriceOption,
    TaskOption,
    names_of,
)
from peftcost.cli.output import print_json, progress_printer


def plan(
    task: TaskOption = None,
    model: Annotated[
        str | None, typer.Option("--model", help="In place of a task; a config.json is enough.", rich_help_panel=TASK)
    ] = None,
    max_length: Annotated[
        int | None, typer.Option("--max-length", help="Tokens at which inputs are cut.", rich_help_panel=TASK)
    ] = None,
    rows: Annotated[int | None, typer.Option("--rows", help="Training rows, with --model.", rich_help_panel=TASK)] = None,
    device: Annotated[
        str, typer.Option("--device", help="this, cpu, h100, a100-80gb, rtx4090, t4, FILE.", rich_help_panel=BUDGET)
    ] = "this",
    budget: BudgetOption = None,
    price: PriceOption = None,
    methods: MethodsOption = None,
    batch_size: Annotated[int | None, typer.Option("--batch-size", help="Examples per step.", rich_help_panel=SEARCH)] = None,
    as_json: JsonOption = False,
) -> None:
    """Before spending: predicted memory, time and cost of each method, and what would make it fit."""
    from rich.console import Console

    from peftcost.cli.plan_tables import plan_tables
    from peftcost.planning import plan as make_plan

    found = make_plan(
        "task.yaml" if task is None and model is None else task,
        model=model,
        device=device,
        budget=budget,
        price=price,
        methods=names_of(methods),
        batch_size=batch_size,
        max_length=max_length,
        rows=rows,
        on_progress=progress_printer(as_json),
    )
    if as_json:
        print_json(found.as_dict())
        return
    for part in plan_tables(found, budget):
        Console().print(part)
