"""`peftcost predict`"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from peftcost.cli.options import OUTPUT, TASK, SkipBadRowsOption


def predict(
    model: Annotated[Path, typer.Argument(help="A folder that `peftcost train` wrote.", rich_help_panel=TASK)],
    data: Annotated[str, typer.Option("--data", help="The rows to label; -: standard input.", rich_help_panel=TASK)],
    out: Annotated[
        Path,
        typer.Option("--out", "-o", help="A CSV (or .jsonl): your columns and ours behind them.", rich_help_panel=OUTPUT),
    ],
    skip_bad_rows: SkipBadRowsOption = False,
) -> None:
    """Label rows with a trained model."""
    from peftcost.recipe.predict import predict as run

    done = run(model, data, out, skip_bad_rows)
    for problem in done.rejected:
        print(f"left out: {problem}", file=sys.stderr)
    for note in done.notes:
        print(note, file=sys.stderr)
    print(f"{out}: {done.rows} rows" + (f", {len(done.rejected)} left out" if done.rejected else ""))
