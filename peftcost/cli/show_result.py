"""Shows what a search has found, at its end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from peftcost.cli.output import print_json
from peftcost.cli.tables import result_tables
from peftcost.report.advice import advice

if TYPE_CHECKING:
    from peftcost.api import Run


@dataclass(frozen=True)
class Shown:
    """How much is shown. quiet: the advice alone. as_json: result.json. every_setup: in place of the trade-offs and each
    method's best."""

    quiet: bool = False
    as_json: bool = False
    every_setup: bool = False


def show_result(run: Run, shown: Shown) -> None:
    """The result on stdout."""
    result = run.folder.read_result()
    if shown.as_json:
        print_json(result)
        return
    if shown.quiet:
        print_advice(advice(result, str(run.folder.path)))
        return
    console = Console()
    for table in result_tables(result, str(run.folder.path), shown.every_setup):
        console.print(table)
    for name in ("report.html", "recipe.yaml"):
        print(run.folder.path / name)


def print_advice(lines: list[str]) -> None:
    """A bullet each, on stdout; lines are broken for people alone."""
    console = Console()
    for text in lines:
        console.print(Text(f"• {text}"), soft_wrap=not console.is_terminal)
