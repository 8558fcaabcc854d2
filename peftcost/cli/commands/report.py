"""`peftcost report`"""

from __future__ import annotations

from peftcost.cli.options import NoExamplesOption, RunFolder


def report(run: RunFolder, no_examples: NoExamplesOption = False) -> None:
    """Write report.html, report.md and front.png of a run."""
    from peftcost.api import Run

    for path in Run(run).report(examples=False if no_examples else None).values():
        print(path)
