"""`peftcost bench`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from peftcost.cli.options import BUDGET, OUTPUT, TASK, DevicesOption, DevicesPerSetupOption, QuietOption
from peftcost.cli.output import progress_printer
from peftcost.cli.signals import signals


def bench(
    suite: Annotated[
        Path,
        typer.Argument(
            help="suite.yaml: tasks, setups, seeds. Or a folder of result files of PEFT's method comparison.",
            rich_help_panel=TASK,
        ),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The comparison's folder. Default bench/SUITE.", rich_help_panel=OUTPUT)
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option("--budget", help="For all of it, in place of the suite's, as in 30gpu-min.", rich_help_panel=BUDGET),
    ] = None,
    devices: DevicesOption = None,
    devices_per_setup: DevicesPerSetupOption = 1,
    quiet: QuietOption = False,
) -> None:
    """Methods x tasks x models x seeds, one comparison report. Run it again to go on where it stopped."""
    from peftcost.bench.peft_results import compare_peft_results
    from peftcost.bench.run_suite import run_suite
    from peftcost.bench.write import write_bench

    folder = out or Path("bench") / suite.stem
    if suite.is_dir():
        comparison = compare_peft_results(suite)
    else:
        signals.go_on = "the same command goes on"
        comparison = run_suite(suite, folder, devices, progress_printer(quiet), devices_per_setup, budget)
    for path in write_bench(folder, comparison):
        print(path)
