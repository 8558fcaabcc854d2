"""What stands on the terminal while a search runs, and at its end."""

from __future__ import annotations

import copy
import io
import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from peftcost.cli.live import LiveView, panel
from peftcost.cli.tables import methods_table, result_tables
from peftcost.observers.progress import FrontRow, LogLine, ProgressState, Running

FIXTURE = Path(__file__).parent.parent / "report" / "result_fixture.json"
EVIL = "lora [/x] [red]:smile: failed\x1b[31m\nforged line"


def state(**changes: Any) -> ProgressState:
    facts: dict[str, Any] = {
        "spent_gpu_seconds": 120.0,
        "limit_gpu_seconds": 600.0,
        "eta_seconds": 480.0,
        "phase": "explore",
        "running": [Running("0", "lora-1", "lora [/x]", "explore", 0, 31, 125, 0.8312, "train", 0.66)],
        "front": [
            FrontRow("frozen-1", "frozen head only", 0.65, 6.3, 115_545_096, 1),
            FrontRow("full-1", "full lr 1e-4", 0.71, 70.0, 600_000_000, 3),
        ],
        "measured": 3,
        "failed": 1,
        "log": log("frozen-1 measured"),
    }
    return ProgressState(**{**facts, **changes})


def log(*texts: str) -> list[LogLine]:
    """A minute ago, with less spent than now."""
    return [LogLine(datetime(2026, 11, 28, 9, 30, tzinfo=UTC).astimezone(), 90.0, text) for text in texts]


def console(width: int = 100, terminal: bool = False) -> Console:
    return Console(file=io.StringIO(), width=width, force_terminal=terminal, color_system=None)


def said(to: Console) -> str:
    assert isinstance(to.file, io.StringIO)
    return to.file.getvalue()


def words(text: str) -> str:
    """Without frames and line breaks."""
    return re.sub(r"[\s│╭╮╰╯─]+", " ", text)


def test_plain_mode_prints_news_once_and_with_the_time() -> None:
    to = console()
    with LiveView(to, quiet=False, plain=True) as view:
        view.update(state())
        view.update(state())
        view.update(state(log=log("frozen-1 measured", "lora-1 started")))
        view.update(state(log=log("frozen-1 measured", "lora-1 started"), phase="confirm"))
    lines = said(to).splitlines()
    then = log("any")[0].at
    assert lines[0] == f"{then:%H:%M:%S} [90/600 gpu-s] frozen-1 measured", "as it was when it happened"
    assert re.match(r"\d\d:\d\d:\d\d \[120/600 gpu-s\] phase", lines[1])
    assert [line.split("] ", 1)[1] for line in lines] == [
        "frozen-1 measured",
        "phase: explore",
        "lora-1 started",
        "phase: confirm",
    ]


def test_plain_mode_breaks_a_long_silence_but_does_not_chatter() -> None:
    to, now = console(), [0.0]
    with LiveView(to, quiet=False, plain=True, clock=lambda: now[0]) as view:
        for second in range(130):
            now[0] = float(second)
            view.update(state())
    assert said(to).count("still running: lora [/x]: train 31/125, loss 0.831, quality 0.660 [lora-1]") == 2
    assert len(said(to).splitlines()) == 4


def test_plain_mode_shows_texts_of_users_as_they_are_on_one_line_each() -> None:
    to = console(width=40)
    with LiveView(to, quiet=False, plain=True) as view:
        view.update(state(log=log(EVIL)))
    lines = said(to).splitlines()
    assert len(lines) == 2
    assert lines[0].endswith("lora [/x] [red]:smile: failed [31m forged line")
    assert "\x1b" not in said(to)


@pytest.mark.parametrize("plain", [True, False])
def test_quiet_prints_nothing(plain: bool) -> None:
    to = console(terminal=not plain)
    with LiveView(to, quiet=True, plain=plain) as view:
        view.update(state())
    assert said(to) == ""


def test_the_live_panel_shows_budget_work_and_trade_offs() -> None:
    to = console()
    to.print(panel(state(log=log(EVIL))))
    for shown in (
        "explore: 3 measured, 1 failed",
        "2 min spent, 8 min left; at most 8 min to go",
        "lora [/x]",
        "train 31/125",
        "loss 0.831, quality 0.660",
        "lora [/x] [red]:smile: failed",
        "frozen head only",
        "600 MB",
    ):
        assert shown in said(to)
    assert "\x1b" not in said(to)


def test_the_live_panel_comes_and_goes_on_a_terminal() -> None:
    to = console(terminal=True)
    with LiveView(to, quiet=False, plain=False) as view:
        view.update(state())
    assert "at most 8 min to go" in said(to)


def test_a_search_without_limit_or_results_is_shown_too() -> None:
    to = console()
    to.print(panel(state(limit_gpu_seconds=float("inf"), running=[], front=[], log=[], failed=0)))
    assert "2 min spent" in said(to)
    assert "left" not in said(to)


@pytest.fixture
def result() -> dict[str, Any]:
    return json.loads(FIXTURE.read_text(encoding="utf-8"))


def shown(result: dict[str, Any], width: int, every_setup: bool = False) -> str:
    to = console(width)
    for table in result_tables(result, "runs/tweets", every_setup):
        to.print(table)
    assert all(len(line) <= width for line in said(to).splitlines())
    return words(said(to))


@pytest.mark.parametrize("width", [80, 100, 160])
def test_the_end_of_a_search_tells_everything_at_any_width(result: dict[str, Any], width: int) -> None:
    text = shown(result, width, every_setup=True)
    for entry in result["setups"]:
        if entry["quality"] is not None:
            assert f"{entry['id']}" in text
            assert f"{entry['quality']:.3f}" in text
        else:
            assert f"{entry['status']}: {entry['reason']}" in text
    for part in (
        "frozen top 2 layers, lr 5e-4",
        "majority class",
        "train 69 %",
        "Warning: 925 rows",
        "Use frozen with",
        "[/x]",
    ):
        assert part in text


def test_the_end_of_a_search_has_a_line_for_each_trade_off_and_for_the_best_of_each_other_method(
    result: dict[str, Any],
) -> None:
    table = tried_lines(result)
    measured = [e for e in result["setups"] if e["status"] == "measured"]
    best = {e["method"]: e["id"] for e in sorted(measured, key=lambda e: e["quality"])}
    assert len(table) == len({*result["front"], *best.values()}) < len(measured)
    assert [line.split()[0] for line in table].count("*") == len(result["front"]) - 1
    assert sum(line.split()[0] == ">*" for line in table) == 1
    assert f"{len(measured) - len(table)} more were measured" in shown(result, 80)


def test_each_method_stands_there_at_the_length_that_most_share_and_at_its_best(result: dict[str, Any]) -> None:
    full, nf4 = (next(line for line in tried_lines(result) if f" {name} " in line) for name in ("full", "nf4-lora"))
    assert re.search(r"full lr 1e-4 +0\.753 +4,000 +2 +0\.753±", full)
    assert re.search(r"1e-3 +2,000 +1 +0\.712±", nf4), "it was not trained for 4,000"


def tried_lines(result: dict[str, Any]) -> list[str]:
    """The table of what was tried in a terminal of 80 columns, a line a setup; what its words go on with is left out."""
    to = console(80)
    to.print(result_tables(result, "runs/tweets")[0])
    return [line for line in said(to).splitlines() if "±" in line or re.search(r"\d [KMG]B *$", line)]


def test_an_unconfirmed_end_says_what_it_would_take(result: dict[str, Any]) -> None:
    result["recommendation"] |= {"confirmed": False, "resolvable_difference": 0.05, "probability_within_margin": 0.6}
    text = shown(result, 100)
    assert "Not confirmed" in text
    assert "it would take more dev rows, or a margin of 0.050" in text


@pytest.mark.parametrize("setups", [True, False])
def test_an_unfinished_result_is_shown_too(result: dict[str, Any], setups: bool) -> None:
    found = copy.deepcopy(result) | {"recommendation": None, "test": None, "front": []}
    found["setups"] = [e for e in found["setups"] if e["status"] != "measured"] if setups else []
    text = shown(found, 100)
    assert "Nothing is recommended" in text
    assert ("out of memory" in text) is setups


def test_methods_that_do_not_run_say_why() -> None:
    to = console()
    rows = [
        {"name": "lora", "trains": "updates", "default": True, "runs": True, "why": None, "citation": "Hu et al."},
        {"name": "ia3", "trains": "scales", "default": False, "runs": False, "why": "no [/x] layer", "citation": "Liu"},
        {"name": "full", "trains": "all", "default": True, "runs": None, "why": None, "citation": "Devlin"},
    ]
    to.print(methods_table(rows))
    lora, ia3, full = (line for line in said(to).splitlines() if re.match(r" ?(lora|ia3|full) ", line))
    assert "default" in lora
    assert "yes" in lora
    assert "no: no [/x] layer" in ia3
    assert "yes" not in full
