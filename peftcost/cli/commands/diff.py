"""`peftcost diff`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from peftcost.cli.options import OUTPUT, TASK, JsonOption


def diff(
    before: Annotated[Path, typer.Argument(help="The folder of the earlier run, or comparison.", rich_help_panel=TASK)],
    after: Annotated[Path, typer.Argument(help="The folder of the later one.", rich_help_panel=TASK)],
    margin: Annotated[
        float | None,
        typer.Option(
            "--margin", min=0, help="The loss of quality that is no regression. Default: the task's.", rich_help_panel=OUTPUT
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """What changed between two runs or comparisons, what of it is significant; exit code 3 when quality has fallen."""
    from peftcost.cli.output import print_json
    from peftcost.errors import GateError

    of_benches = [is_bench(path) for path in (before, after)]
    found, lines, worse = (between_benches if all(of_benches) else between_runs)(before, after, margin)
    if as_json:
        print_json(found)
    else:
        for line in lines:
            print(line)
    if worse is not None:
        raise GateError(worse)


def is_bench(path: Path) -> bool:
    """Whether it is what `peftcost bench` wrote."""
    return (path / "bench.json").exists() or (path.is_file() and path.suffix == ".json")


def between_runs(before: Path, after: Path, margin: float | None) -> tuple[dict[str, Any], list[str], str | None]:
    from peftcost.report.changes import changes, regression, told
    from peftcost.store.run_folder import open_run_folder

    results = [open_run_folder(path).read_result() for path in (before, after)]
    found = changes(*results)
    return found, told(found), regression(found, results[1]["task"]["margin"] if margin is None else margin)


def between_benches(before: Path, after: Path, margin: float | None) -> tuple[dict[str, Any], list[str], str | None]:
    from peftcost.bench.changes import bench_changes, bench_regression, told
    from peftcost.bench.write import read_bench

    found = bench_changes(read_bench(before), read_bench(after))
    return found, told(found), bench_regression(found, margin)
