"""`peftcost evaluate`"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from peftcost.cli.options import TASK, DevicesOption, JsonOption, SkipBadRowsOption

if TYPE_CHECKING:
    from peftcost.recipe.evaluate import Evaluated

SHOWN_CLASSES = 30
SHOWN_IN_A_MATRIX = 10


def evaluate(
    model: Annotated[Path, typer.Argument(help="A folder that `peftcost train` wrote.", rich_help_panel=TASK)],
    data: Annotated[str, typer.Option("--data", help="Labelled rows; -: standard input.", rich_help_panel=TASK)],
    min_quality: Annotated[
        float | None, typer.Option("--min-quality", help="The least quality, as in 0.9.", rich_help_panel="Gate")
    ] = None,
    skip_bad_rows: SkipBadRowsOption = False,
    devices: DevicesOption = None,
    as_json: JsonOption = False,
) -> None:
    """How good is a trained model on these labelled rows? Exit code 3 below what its recipe promises."""
    from peftcost.cli.output import print_json
    from peftcost.errors import GateError
    from peftcost.recipe.model import TrainedModel

    found = TrainedModel(model).evaluate(data, skip_bad_rows=skip_bad_rows, min_quality=min_quality, devices=devices)
    for note in found.notes:
        print(note, file=sys.stderr)
    if as_json:
        print_json(found.as_dict())
    else:
        for problem in found.rejected:
            print(f"left out: {problem}", file=sys.stderr)
        print("\n".join(lines_of(found)))
    if found.broken_promises:
        raise GateError(" ".join(found.broken_promises))


def lines_of(found: Evaluated) -> list[str]:
    """The findings as people read them."""
    left_out = f", {len(found.rejected):,} bad ones left out" if found.rejected else ""
    lines = [f"{found.data}: {found.rows:,} {'row' if found.rows == 1 else 'rows'}{left_out}", ""]
    width = max(map(len, found.metrics))
    for name, figures in found.metrics.items():
        mark = "  <- what the model was chosen by" if name == found.metric and len(found.metrics) > 1 else ""
        lines.append(f"{name:<{width}}  {told(**figures)}{mark}")
    if found.promised_interval is not None and found.quality is not None:
        low, high = found.promised_interval
        kept = "not kept" if found.quality < low else "kept"
        lines.append(f"The recipe promises {low:.3f} to {high:.3f} on so many new rows: {kept}.")
    return [*lines, *class_lines(found), *matrix_lines(found)]


def told(quality: float | None, quality_interval: tuple[float, float] | None, reason: str | None) -> str:
    """A metric's figures, or why there are none."""
    if quality is None:
        return str(reason)
    return f"{quality:.3f}  " + (
        f"({reason})" if quality_interval is None else "(95 %: {:.3f} to {:.3f})".format(*quality_interval)
    )


def class_lines(found: Evaluated) -> list[str]:
    """A line for each class."""
    if not found.classes:
        return []
    shown = found.classes[:SHOWN_CLASSES]
    width = max(5, *(len(row.name) for row in shown))
    lines = ["", f"{'class':<{width}}{'rows':>8}{'recall':>8}   {'(95 %)':<14}{'precision':>9}{'F1':>8}"]
    for row in shown:
        interval = "" if row.recall_interval is None else "({:.2f} to {:.2f})".format(*row.recall_interval)
        lines.append(
            f"{row.name:<{width}}{row.rows:>8,}{cell(row.recall):>8}   {interval:<14}"
            f"{cell(row.precision):>9}{cell(row.f1):>8}"
        )
    if len(found.classes) > SHOWN_CLASSES:
        lines.append(f"… and {len(found.classes) - SHOWN_CLASSES} more classes (--json lists them)")
    return lines


def matrix_lines(found: Evaluated) -> list[str]:
    """The confusion matrix, of few classes."""
    if not 0 < len(found.confusion) <= SHOWN_IN_A_MATRIX:
        return []
    names = list(found.confusion)
    width = max(len("true, across: predicted"), *map(len, names))
    columns = [max(len(name), 5) + 2 for name in names]
    lines = ["", f"{'true, across: predicted':<{width}}" + "".join(f"{n:>{w}}" for n, w in zip(names, columns, strict=True))]
    for name, counts in found.confusion.items():
        lines.append(f"{name:<{width}}" + "".join(f"{n:>{w},}" for n, w in zip(counts.values(), columns, strict=True)))
    return lines


def cell(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
