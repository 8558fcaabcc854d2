"""`peftcost report`"""

from __future__ import annotations

from peftcost.cli.options import RunFolder


def report(run: RunFolder) -> None:
    """Write report.html, report.md and front.png of a run."""
    from peftcost.api import Run
    from peftcost.store.run_folder import open_run_folder

    for path in Run(open_run_folder(run)).report().values():
        print(path)
