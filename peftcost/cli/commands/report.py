"""`peftcost report`"""

from __future__ import annotations

from peftcost.cli.options import RunFolder


def report(run: RunFolder) -> None:
    """Write report.html, report.md and front.png of a run."""
    from peftcost.api import Run

    for path in Run(run).report().values():
        print(path)
