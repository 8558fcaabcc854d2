"""`peftcost predict`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from peftcost.cli.options import OUTPUT, TASK


def predict(
    model: Annotated[Path, typer.Argument(help="A folder that `peftcost train` wrote.", rich_help_panel=TASK)],
    data: Annotated[Path, typer.Option("--data", help="The rows to label.", rich_help_panel=TASK)],
    out: Annotated[Path, typer.Option("--out", "-o", help="A CSV of labels and probabilities.", rich_help_panel=OUTPUT)],
) -> None:
    """Label rows with a trained model."""
    from peftcost.recipe.predict import predict as run

    print(f"{out}: {run(model, data, out)} rows")
