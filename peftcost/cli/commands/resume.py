"""`peftcost resume`"""

from __future__ import annotations

from typing import Annotated

import typer

from peftcost.cli.options import BUDGET, AllOption, JsonOption, PriceOption, QuietOption, RunFolder
from peftcost.cli.signals import signals


def resume(
    run: RunFolder,
    budget: Annotated[
        str | None, typer.Option("--budget", help="More budget, as in +1gpu-h.", rich_help_panel=BUDGET)
    ] = None,
    price: PriceOption = None,
    show_all: AllOption = False,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Go on with a run after a kill, a reboot or a pre-emption; with --budget +1gpu-h, go on further."""
    from peftcost import api
    from peftcost.cli.progress import watching
    from peftcost.cli.show_result import Shown, show_result

    signals.run = run
    with watching(quiet) as view:
        finished = api.resume(run, budget, price=price, quiet=True, observers=[view])
    show_result(finished, Shown(quiet=quiet, as_json=as_json, every_setup=show_all))
