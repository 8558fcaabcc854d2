"""`peftcost demo`"""

from __future__ import annotations

from peftcost.cli.options import AllOption, OutOption, QuietOption, SeedOption

BUDGET = "8.5gpu-min"


def demo(quiet: QuietOption = False, seed: SeedOption = 0, out: OutOption = None, show_all: AllOption = False) -> None:
    """The main job on the built-in task: six methods on opinions in tweets, in about eight minutes on two cores."""
    from peftcost.cli.run_search import run_search
    from peftcost.cli.show_result import Shown
    from peftcost.task.task import load_task

    run_search(load_task("builtin:opinions"), BUDGET, Shown(quiet=quiet, every_setup=show_all), seed=seed, out=out)
