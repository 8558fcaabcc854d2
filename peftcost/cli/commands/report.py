"""`peftcost report`"""

from __future__ import annotations

from typing import Annotated

import typer

from peftcost.cli.options import OUTPUT, NoExamplesOption, RunFolder


def report(
    run: RunFolder,
    by: Annotated[
        str | None,
        typer.Option("--by", help="Tell the quality on dev by the values of this column, too.", rich_help_panel=OUTPUT),
    ] = None,
    no_examples: NoExamplesOption = False,
    attributions: Annotated[
        bool,
        typer.Option("--attributions", help="Mark the tokens of the hardest examples that decide.", rich_help_panel=OUTPUT),
    ] = False,
) -> None:
    """Write report.html, report.md and front.png of a run."""
    from peftcost.api import Run

    for path in Run(run).report(examples=False if no_examples else None, by=by, attributions=attributions).values():
        print(path)
