"""`peftcost bench`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from peftcost.cli.options import OUTPUT, TASK, DevicesOption, DevicesPerSetupOption, QuietOption
from peftcost.cli.output import progress_printer


def bench(
    suite: Annotated[Path, typer.Argument(help="suite.yaml: tasks, setups, seeds.", rich_help_panel=TASK)],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The comparison's folder. Default bench/SUITE.", rich_help_panel=OUTPUT)
    ] = None,
    devices: DevicesOption = None,
    devices_per_setup: DevicesPerSetupOption = 1,
    quiet: QuietOption = False,
) -> None:
    """Methods x tasks x seeds at given setups, one comparison report. Run it again to go on where it stopped."""
    from peftcost.bench import run_suite

    for path in run_suite(suite, out, devices, progress_printer(quiet), devices_per_setup):
        print(path)
