"""Tables for the end of a search and for `peftcost methods`. All texts are shown as they are, never as markup."""

from __future__ import annotations

from typing import Any

from rich.box import SIMPLE
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from peftcost.report.view import View, view_of


def result_tables(result: dict[str, Any]) -> list[RenderableType]:
    """What was tried, test, ledger, warnings, and last (where one looks first) the recommendation. Made for 100 columns."""
    view = view_of(result)
    shown: list[RenderableType] = []
    if view.measured:
        shown.append(tried_table(view))
    if view.others:
        shown.append(others_text(view))
    if view.common:
        shown.append(Text(f"The same in all: {view.common}.", style="dim"))
    if view.tests:
        shown.append(test_table(view))
    if view.ledger:
        ledger = ", ".join(f"{row.category} {row.share}" for row in view.ledger)
        shown.append(Text(f"Where the {view.spent.text} went: {ledger}."))
    shown += [Text(f"Warning: {text}", style="yellow") for text in view.warnings]
    shown.append(advice_panel(view))
    return shown


def advice_panel(view: View) -> Panel:
    """The recommendation; while it is not confirmed, with what would settle it."""
    lines = [Text(view.headline, style="bold"), Text(" ".join(view.advice)), *map(Text, view.beside)]
    colour = "green" if view.confirmed else "yellow"
    return Panel(Group(*lines), title=Text(view.status), title_align="left", border_style=colour)


def tried_table(view: View) -> Table:
    """The measured setups; the front with a star, the recommended one with an arrow."""
    title = Text("What was tried (* best trade-offs, > recommended)", style="italic")
    table = Table(title=title, title_justify="left", box=SIMPLE, pad_edge=False, expand=True)
    table.add_column("", no_wrap=True)
    table.add_column("setup", ratio=1, min_width=20)
    for name in (view.metric, "cost", "memory", "seeds"):
        table.add_column(Text(name), justify="right", no_wrap=True)
    for row in view.measured:
        mark = (">" if row.recommended else "") + ("*" if row.on_front else "")
        setup = Text(row.id, style="bold" if row.recommended else "")
        setup.append(f"\n{row.choices}" if row.choices else "", style="not bold dim")
        quality = Text(row.quality.text)
        quality.append(f"\n{row.low.text}–{row.high.text}" if row.low.value is not None else "", style="dim")
        table.add_row(mark, setup, quality, row.cost.text, row.memory.text, row.seeds)
    return table


def others_text(view: View) -> Text:
    """What was not measured, a line each, with the reason."""
    lines = [
        Text.assemble(row.id, (f" {row.status}: {row.reason}", "dim"), (f" ({row.choices})" if row.choices else "", "dim"))
        for row in view.others
    ]
    return Text("\n").join(lines)


def test_table(view: View) -> Table:
    """The test split: opened once, at the end."""
    title = Text(f"Test split ({view.test_rows:,} rows, opened once)", style="italic")
    table = Table(title=title, title_justify="left", box=SIMPLE, pad_edge=False)
    table.add_column("model")
    table.add_column(Text(view.metric), justify="right")
    table.add_column("95 % interval", justify="right")
    for row in view.tests:
        table.add_row(Text(row.name), row.quality.text, f"{row.low.text} to {row.high.text}")
    return table


def methods_table(rows: list[dict[str, Any]]) -> Table:
    """The methods: name, trains, default, runs (None when no model was named) with why not, citation."""
    table = Table(box=SIMPLE, pad_edge=False)
    table.add_column("method", no_wrap=True)
    for name in ("trains", "by default", "runs here", "source"):
        table.add_column(name)
    for row in rows:
        runs = "" if row["runs"] is None else "yes" if row["runs"] else f"no: {row['why']}"
        default = "yes" if row["default"] else ""
        table.add_row(Text(row["name"]), Text(row["trains"]), default, Text(runs), Text(row["citation"], style="dim"))
    return table
