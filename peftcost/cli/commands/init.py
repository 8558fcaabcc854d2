"""`peftcost init`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from peftcost.cli.options import OUTPUT, TASK, LabelOption, ModelOption
from peftcost.errors import UserError


def init(
    data: Annotated[str, typer.Argument(help="The data file.", rich_help_panel=TASK)],
    label: LabelOption = None,
    model: ModelOption = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Where to write the task.", rich_help_panel=OUTPUT)] = Path(
        "task.yaml"
    ),
) -> None:
    """Look at the data and write a commented task.yaml."""
    from peftcost.store.outputs import write_out
    from peftcost.task.draft import draft_task_yaml

    text = draft_task_yaml(data, label, folder=out.parent, model=model)
    if out.exists():
        raise UserError(f"{out} exists already; move it away or choose another --out.")
    write_out(out, text)
    print(f"Wrote {out}. Next: peftcost check, then peftcost search, which prints three budgets for this machine.")
