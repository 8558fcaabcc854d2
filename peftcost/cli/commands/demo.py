"""`peftcost demo`"""

from __future__ import annotations

from peftcost.cli.options import AllOption, OutOption, QuietOption, SeedOption

BUDGET = "8.5gpu-min"
ROWS = {"train": 2000, "dev": 800, "test": 1200}


def demo(quiet: QuietOption = False, seed: SeedOption = 0, out: OutOption = None, show_all: AllOption = False) -> None:
    """The main job on the built-in task: six methods on tweets, in about eight minutes on two cores."""
    from peftcost.cli.run_search import run_search
    from peftcost.cli.show_result import Shown
    from peftcost.task.task import Rows, load_task

    task = load_task("builtin:tweets").model_copy(update={"rows": Rows(**ROWS)})
    run_search(task, BUDGET, Shown(quiet=quiet, every_setup=show_all), seed=seed, out=out)
