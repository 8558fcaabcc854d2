"""Tables for the end of a search and for `peftcost methods`. All texts are shown as they are, never as markup."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from rich.box import SIMPLE
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from peftcost.core.setup_words import setup_words
from peftcost.report.choices import Entry, words_of
from peftcost.report.numbers import Cell
from peftcost.report.view import SetupRow, View, WrittenTexts, view_of


def result_tables(result: dict[str, Any], run: str, every_setup: bool = False) -> list[RenderableType]:
    """What was tried, test, ledger, warnings, and last (where one looks first) the recommendation. Made for 80 columns.

    run: the run's folder, as it is typed. every_setup: in place of the trade-offs and each method's best.
    """
    view = view_of(result, run)
    shown: list[RenderableType] = []
    if view.measured:
        rows = view.measured if every_setup else worth_a_row(view)
        shown.append(tried_table(view, rows, result["setups"], with_ids=every_setup))
        if len(rows) < len(view.measured):
            more = len(view.measured) - len(rows)
            shown.append(Text(f"{more} more were measured: the report shows them, and so does --all.", style="dim"))
    if view.others:
        shown.append(others_text(result["setups"]))
    if view.tests:
        shown.append(test_table(view))
    if view.written is not None:
        shown.append(written_table(view.written))
    if view.ledger:
        ledger = ", ".join(f"{row.category} {row.share}" for row in view.ledger)
        shown.append(Text(f"Where the {view.spent.text} went: {ledger}."))
    shown += [Text(f"Warning: {text}", style="yellow") for text in view.warnings]
    shown.append(advice_panel(view))
    return shown


def advice_panel(view: View) -> Panel:
    """The recommendation; while it is not confirmed, with what would settle it."""
    bullets = [Text(f"• {text}") for text in view.advice]
    lines = [Text(view.headline, style="bold"), *bullets, *map(Text, view.beside)]
    colour = "green" if view.confirmed else "yellow"
    return Panel(Group(*lines), title=Text(view.status), title_align="left", border_style=colour)


def worth_a_row(view: View) -> list[SetupRow]:
    """Of each method the best, then the other trade-offs and what is recommended; best quality first in each part."""
    ranked = sorted(view.measured, key=lambda row: -row.quality.known)
    best = {row.method: row for row in reversed(ranked)}
    others = [row for row in ranked if (row.on_front or row.recommended) and row not in best.values()]
    return [row for row in ranked if best[row.method] is row] + others


def tried_table(view: View, rows: Sequence[SetupRow], entries: Sequence[Entry], with_ids: bool) -> Table:
    """The measured setups, a line each; the front with a star, the recommended one with an arrow. entries: result.json's.
    with_ids: a setup's hash stands below it."""
    by_id = {entry["id"]: entry for entry in entries}
    title = Text("What was tried (* best trade-offs, > recommended)", style="italic")
    table = Table(title=title, title_justify="left", box=SIMPLE, pad_edge=False, expand=True, padding=0)
    table.add_column("", no_wrap=True)
    table.add_column("setup", ratio=1, min_width=20)
    for name in ("length", view.metric, "cost", "memory", "seeds"):
        table.add_column(Text(name), justify="right", no_wrap=True)
    methods: set[str] = set()
    for row in rows:
        if not with_ids and row.method in methods and len(methods) == len({r.method for r in rows}):
            table.add_section()
            methods = set()
        methods.add(row.method)
        entry = by_id[row.id]
        mark = (">" if row.recommended else "") + ("*" if row.on_front else "")
        setup = Text(setup_words(row.method, entry["hyperparameters"], None), style="bold" if row.recommended else "")
        setup.append(f"\n{row.id}" if with_ids else "", style="not bold dim")
        length, seeds = f"{entry['stop_examples']:,}", row.seeds.replace(" ", "")
        table.add_row(mark, setup, length, quality_cell(row), row.cost.text, row.memory.text, seeds)
    return table


def quality_cell(row: SetupRow) -> Text:
    return score_cell(row.quality, row.low, row.high)


def score_cell(value: Cell, low: Cell, high: Cell) -> Text:
    """A value, and half the width of its 95 % interval."""
    half = (high.known - low.known) / 2
    return Text.assemble(value.text, ("" if math.isnan(half) else f"±{half:.3f}".replace("0.", "."), "dim"))


def others_text(entries: Sequence[Entry]) -> Text:
    """What was not measured, a line each, with the reason."""
    lines = [
        Text.assemble(
            words_of(entry),
            (f" {entry['status']}: {entry['reason']}", "dim"),
        )
        for entry in entries
        if entry["status"] != "measured"
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


def written_table(written: WrittenTexts) -> Table:
    """The scores of what models wrote."""
    table = Table(title=Text(written.told, style="italic"), title_justify="left", box=SIMPLE, pad_edge=False)
    table.add_column("model")
    for name in written.metrics:
        table.add_column(Text(name), justify="right")
    for row in written.rows:
        table.add_row(Text(row.name), *(score_cell(*score) for score in row.scores))
    return table


def methods_table(rows: list[dict[str, Any]]) -> Table:
    """The methods: name, trains, default, runs (None when no model was named) with why not, citation."""
    table = Table(box=SIMPLE, pad_edge=False)
    table.add_column("method", no_wrap=True)
    for name in ("trains", "default", "runs here", "source"):
        table.add_column(name)
    for row in rows:
        runs = "" if row["runs"] is None else "yes" if row["runs"] else f"no: {row['why']}"
        default = "default" if row["default"] else ""
        table.add_row(Text(row["name"]), Text(row["trains"]), default, Text(runs), Text(row["citation"], style="dim"))
    return table
