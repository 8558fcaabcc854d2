"""`peftcost diff`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from peftcost.cli.options import OUTPUT, TASK, JsonOption


def diff(
    before: Annotated[Path, typer.Argument(help="The earlier run's folder.", rich_help_panel=TASK)],
    after: Annotated[Path, typer.Argument(help="The later run's folder.", rich_help_panel=TASK)],
    margin: Annotated[
        float | None,
        typer.Option(
            "--margin", help="The loss of quality that is no regression. Default: the run's.", rich_help_panel=OUTPUT
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """What changed between two runs, and what of it is significant; exit code 3 when the recommended quality has fallen."""
    from peftcost.cli.output import print_json
    from peftcost.errors import GateError
    from peftcost.report.changes import changes, regression, told
    from peftcost.store.run_folder import open_run_folder

    results = [open_run_folder(path).read_result() for path in (before, after)]
    found = changes(*results)
    if as_json:
        print_json(found)
    else:
        for line in told(found):
            print(line)
    allowed = results[1]["task"]["margin"] if margin is None else margin
    if (worse := regression(found, allowed)) is not None:
        raise GateError(worse)
