"""Tables for the end of a search and for `peftcost methods`."""

from __future__ import annotations

from typing import Any

from rich.box import SIMPLE
from rich.console import RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from peftcost.report.view import View, view_of


def result_tables(result: dict[str, Any]) -> list[RenderableType]:
    """What was tried, test, ledger, warnings and recommendation. All texts are shown as they are, not as markup."""
    view = view_of(result)
    shown: list[RenderableType] = [tried_table(view)]
    if view.tests:
        shown.append(test_table(view))
    ledger = ", ".join(f"{row.category} {row.share}" for row in view.ledger if row.spent.value)
    shown.append(Text(f"Where the {view.spent.text} went: {ledger}."))
    shown += [Text(f"Warning: {text}", style="yellow") for text in view.warnings]
    advice = Text("\n".join([view.headline, *view.advice]))
    shown.append(Panel(advice, title=view.status, border_style="green" if view.confirmed else "yellow"))
    return shown


def tried_table(view: View) -> Table:
    """All setups; the front with a star, the recommended one with an arrow."""
    title = f"What was tried (* best trade-offs, > recommended); all: {view.common}"
    table = Table(title=Text(title), title_justify="left", box=SIMPLE, pad_edge=False, expand=True)
    table.add_column("", no_wrap=True)
    table.add_column("setup", no_wrap=True)
    table.add_column("choices", ratio=1)
    for name in (view.metric, "low", "high", "cost", "memory", "seeds"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in view.measured:
        mark = (">" if row.recommended else "") + ("*" if row.on_front else "")
        figures = (cell.text for cell in (row.quality, row.low, row.high, row.cost, row.memory))
        table.add_row(mark, Text(row.id), Text(row.choices), *figures, row.seeds)
    for row in view.others:
        table.add_row("", Text(row.id or row.method), Text(f"{row.status}: {row.reason}", style="dim"), *[""] * 6)
    return table


def test_table(view: View) -> Table:
    """The test split: opened once, at the end."""
    title = f"Test split ({view.test_rows} rows, opened once)"
    table = Table(title=title, title_justify="left", box=SIMPLE, pad_edge=False)
    table.add_column("model")
    for name in (view.metric, "low", "high"):
        table.add_column(name, justify="right")
    for row in view.tests:
        table.add_row(Text(row.name), row.quality.text, row.low.text, row.high.text)
    return table


def methods_table(rows: list[dict[str, Any]]) -> Table:
    """The methods; whether they run is empty when no model was named."""
    table = Table()
    for name in ("method", "trains", "runs here", "source"):
        table.add_column(name, overflow="fold")
    for row in rows:
        runs = "" if row["runs"] is None else "yes" if row["runs"] else f"no: {row['why']}"
        name = f"{row['name']} (usual)" if row["usual"] else row["name"]
        table.add_row(Text(name), Text(row["trains"]), Text(runs), Text(row["citation"], style="dim"))
    return table
