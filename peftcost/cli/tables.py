"""Tables for the end of a search and for `peftcost methods`. All texts are shown as they are, never as markup."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rich.box import SIMPLE
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from peftcost.core.setup_words import setup_words
from peftcost.report import numbers
from peftcost.report.by_method import common_length, method_rows
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
        table = every_table(view, result) if every_setup else method_table(view, result)
        shown.append(table)
        if (more := len(view.measured) - table.row_count) > 0:
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


def method_table(view: View, result: Mapping[str, Any]) -> Table:
    """A line a method: its best setup, also at the length that most methods share; below them the other trade-offs. The front
    with a star, the recommended one with an arrow."""
    by_id, entries, stop = {row.id: row for row in view.measured}, entries_of(result), common_length(result["setups"]) or 0
    best = [(by_id[row.best.id], row.common) for row in method_rows(result) if row.best]
    known = {row.id for row, _ in best}
    others = [row for row in view.measured if (row.on_front or row.recommended) and row.id not in known]
    title = Text(f"{TRIED}; each method's best, and its best after {stop:,} examples", style="italic")
    table = tried_columns(title, view, f"after\n{stop:,}", "length", "epochs")
    for part in (best, [(row, None) for row in sorted(others, key=lambda row: -row.quality.known)]):
        for row, common in part:
            entry = entries[row.id]
            length = numbers.epochs(entry["stop_examples"], result["task"]["rows"]["train"]).partition(" ")[0]
            between = "" if common is None else common.quality.text, f"{entry['stop_examples']:,}", length
            table.add_row(*head_cells(row, entry), *between, *tail_cells(row))
        table.add_section()
    return table


def every_table(view: View, result: Mapping[str, Any]) -> Table:
    """All that was measured, cheapest first, each with its hash and its seeds, exploring and confirming."""
    table, entries = tried_columns(Text(TRIED, style="italic"), view, "length", "seeds"), entries_of(result)
    for row in view.measured:
        entry = entries[row.id]
        mark, words = head_cells(row, entry)
        words.append(f"\n{row.id}", style="not bold dim")
        table.add_row(mark, words, f"{entry['stop_examples']:,}", row.seeds.replace(" ", ""), *tail_cells(row))
    return table


TRIED = "What was tried (* best trade-offs, > recommended)"


def tried_columns(title: Text, view: View, *between: str) -> Table:
    """A table of setups, with these columns between the setup and what it reaches."""
    table = Table(title=title, title_justify="left", box=SIMPLE, pad_edge=False, expand=True, padding=0)
    table.add_column("", no_wrap=True)
    table.add_column("setup", ratio=1, min_width=20)
    for name in (*between, view.metric, "cost", "memory"):
        table.add_column(Text(name, justify="right"), justify="right", no_wrap=True)
    return table


def entries_of(result: Mapping[str, Any]) -> dict[str, Entry]:
    """By id."""
    return {entry["id"]: entry for entry in result["setups"]}


def head_cells(row: SetupRow, entry: Entry) -> tuple[str, Text]:
    """Its mark, and what it is."""
    mark = (">" if row.recommended else "") + ("*" if row.on_front else "")
    return mark, Text(setup_words(row.method, entry["hyperparameters"], None), style="bold" if row.recommended else "")


def tail_cells(row: SetupRow) -> tuple[Text, str, str]:
    """What it reaches, and takes."""
    return score_cell(row.quality, row.low, row.high), row.cost.text, row.memory.text


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
