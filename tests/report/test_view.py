"""What the reports decide to show."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from peftcost.cli.tables import result_tables
from peftcost.core.percent import percent
from peftcost.report.advice import advice
from peftcost.report.choices import choices_of, common_choices, varied
from peftcost.report.html import html_text, markdown_text
from peftcost.report.numbers import moment, of_its, period, small_percent
from peftcost.report.picture import cost_ticks
from peftcost.report.sentences import full_as_far, recommended_entry
from peftcost.report.view import labels, view_of

Result = dict[str, Any]


@pytest.fixture
def result() -> Result:
    return json.loads(Path(__file__).with_name("result_fixture.json").read_text(encoding="utf-8"))


def entry(method: str, stop: int = 1000, **choices: object) -> Result:
    return {"method": method, "hyperparameters": choices, "stop_examples": stop}


def test_only_choices_that_differ_are_told() -> None:
    entries = [entry("frozen", lr=0.1, top_layers=0, seed=1), entry("frozen", lr=0.1, top_layers=2, seed=1, dora=False)]
    assert choices_of(entries[0], varied(entries)) == "top layers 0"
    assert common_choices(entries) == "lr 0.1, seed 1, 1,000 examples"


def test_a_choice_that_is_off_is_not_told_but_one_that_is_on_is() -> None:
    entries = [entry("lora", dora=True), entry("lora", dora=False), entry("lora", dora=None)]
    assert [choices_of(e, varied(entries)) for e in entries] == ["dora", "", ""]


def test_the_advice_is_what_how_sure_and_what_next(result: Result) -> None:
    what, how_sure, what_next = view_of(result, "runs/tweets").advice
    assert what.startswith("frozen top 2 layers, lr 5e-4, 4,000 examples (2 epochs): 0.7")
    assert "its tensors take 191 MB of memory, its process 644 MB." in what
    assert how_sure.startswith("Confirmed: trained again with 3 fresh seeds")
    assert what_next == "Next: peftcost train runs/tweets/recipe.yaml -o model"


def test_what_stands_against_the_advice_comes_first(result: Result) -> None:
    caveats = [{"text": "full (.041, .192 after 0.9, 1.8 epochs) was still rising", "gpu_seconds": 130.0}]
    result["recommendation"] |= {"confirmed": False, "caveats": caveats, "more_gpu_seconds": 170.0}
    _, how_sure, what_next = view_of(result, "runs/tweets").advice
    assert how_sure.startswith("Not confirmed: full (.041, .192 after 0.9, 1.8 epochs) was still rising.")
    assert "Among what was measured it is likely within" in how_sure
    assert what_next == "To be surer: peftcost resume runs/tweets --budget +3gpu-min"
    result["recommendation"]["shown"] = True
    assert "Among what was measured it is shown to be within" in view_of(result, "runs/tweets").advice[1]


def test_under_constraints_the_best_is_of_those_that_meet_them(result: Result) -> None:
    result["recommendation"] |= {"limited": True, "best": result["recommendation"]["id"]}
    what, how_sure, _ = view_of(result, "runs/tweets").advice
    assert "Nothing that meets the constraints is better" in what
    assert "of the best that meets the constraints (" in how_sure
    result["recommendation"] |= {"alone": True, "confirmed": False}
    what, how_sure, _ = view_of(result, "runs/tweets").advice
    assert what.endswith("It is the only setup that meets the constraints.")
    assert how_sure == "Not confirmed. There is nothing to compare it with."


def test_what_no_budget_can_tell_is_said_in_place_of_a_command(result: Result) -> None:
    caveat = {"text": "its times were too long", "gpu_seconds": None, "remedy": "Search again on another machine."}
    result["recommendation"] |= {"confirmed": False, "caveats": [caveat], "more_gpu_seconds": None}
    assert view_of(result, "runs/x").advice[2] == (
        "Search again on another machine. Next: peftcost train runs/x/recipe.yaml -o model"
    )


def test_commands_can_be_typed_whatever_the_folder_is_called(result: Result) -> None:
    assert view_of(result, "my run").advice[2] == "Next: peftcost train 'my run/recipe.yaml' -o model"
    result["recommendation"] |= {"confirmed": False, "more_gpu_seconds": 10.0}
    assert view_of(result, "my run").advice[2] == "To be surer: peftcost resume 'my run' --budget +10gpu-s"
    assert advice(result, "r", "peftcost train new.yaml")[2:] == [
        "To be surer: peftcost resume r --budget +10gpu-s",
        "Next: peftcost train new.yaml",
    ]


def test_savings_are_told_against_a_full_fine_tuning_that_was_trained_as_far(result: Result) -> None:
    best = max(result["setups"], key=lambda e: e["quality"] or 0)
    best["method"] = "lora"
    assert (
        "full fine-tuning trained as far, full lr 3e-5, 4,000 examples (2 epochs), reaches 0.744" in view_of(result).advice[0]
    )
    for entry in result["setups"]:
        if entry["method"] == "full":
            entry["stop_examples"] = 1250
    assert view_of(result).advice[0].endswith("full fine-tuning was not trained as far.")
    assert not any("retraining" in text for text in view_of(result).beside)


def test_savings_are_told_against_no_longer_training_than_needs_be(result: Result) -> None:
    near, far = (e for e in result["setups"] if e["method"] == "full")
    far["stop_examples"], far["gpu_seconds"] = 8000, 230.0
    assert full_as_far(result, recommended_entry(result) or {}) == near
    near["stop_examples"] = 1000
    told = next(text for text in view_of(result).beside if "retraining" in text)
    assert told.startswith("Each training saves 2 min 59 s against full fine-tuning on 8,000 examples, 4 epochs: after")
    for m in far["measurements"]:
        m["contended"] = True
    assert not any("retraining" in text for text in view_of(result).beside), "its time is too long"
    assert "reaches 0.744 and this takes 34 % of its memory" in view_of(result).advice[0], "and no share of its time"


def test_the_payback_is_counted_in_whole_retrainings(result: Result) -> None:
    result["budget"]["spent_gpu_seconds"] = 100.0
    assert any("after 2 retrainings" in text for text in view_of(result).beside)


def test_what_else_one_could_do_stands_beside_the_advice(result: Result) -> None:
    by_cost = sorted((e for e in result["setups"] if e["status"] == "measured"), key=lambda e: e["gpu_seconds"])
    more = {"gpu_seconds": 400.0, "chance": 0.3, "quality_gain": 0.004, "cost_share": 0.9}
    result["recommendation"] |= {"next_cheaper": by_cost[0]["id"], "next_better": None, "twice_the_budget": more}
    text = " ".join(view_of(result).beside)
    assert (
        f"The next cheaper, frozen head only, lr 2e-3, 4,000 examples (2 epochs), reaches {by_cost[0]['quality']:.3f}" in text
    )
    assert "a chance of about 30 %: on average +0.004 macro_f1 at 90 % of its cost" in text
    more["cost_share"] = 1.07
    assert "at 7 % more cost" in " ".join(view_of(result).beside)


def test_a_setup_that_saves_nothing_has_no_payback(result: Result) -> None:
    full = next(e for e in result["setups"] if e["method"] == "full")
    result["recommendation"]["id"] = full["id"]
    view = view_of(result)
    assert view.beside == []
    assert view.advice[0].endswith("Nothing that was measured is better.")


def test_the_only_setup_measured_is_not_called_the_best(result: Result) -> None:
    advised = result["recommendation"]["id"]
    result["recommendation"]["best"] = advised
    result["setups"] = [e for e in result["setups"] if e["id"] == advised or e["status"] != "measured"]
    view = view_of(result)
    assert view.advice[0].endswith("It is the only setup that was measured.")


def test_each_method_gets_one_name_in_the_picture_and_the_recommended_its_own(result: Result) -> None:
    named = labels(result)
    assert sorted(named.values()) == [
        "adalora",
        "frozen, recommended",
        "full, best",
        "int8-lora",
        "lora",
        "nf4-lora",
    ]
    result["recommendation"]["id"] = next(e["id"] for e in result["setups"] if e["method"] == "full")
    assert "full, recommended" in labels(result).values()


def test_every_row_of_the_test_split_has_a_name_where_the_result_gives_it_none(result: Result) -> None:
    for measured in result["test"].values():
        if measured:
            measured["title"] = None
    assert all(row.name for row in view_of(result, "runs/x").tests)


def test_the_best_is_not_listed_twice_on_the_test_split(result: Result) -> None:
    result["recommendation"]["id"] = max(result["setups"], key=lambda e: e["quality"] or 0)["id"]
    rows = view_of(result).tests
    assert rows[0].name == "recommended, also the best on dev"
    assert len(rows) == 4


@pytest.mark.parametrize(
    ("share", "text"), [(0, "0 %"), (0.001, "< 1 %"), (0.44, "44 %"), (0.999, "> 99 %"), (1, "100 %"), (1.12, "112 %")]
)
def test_shares(share: float, text: str) -> None:
    assert percent(share) == text


@pytest.mark.parametrize(
    ("ratio", "text"),
    [(0.44, "44 % of its time"), (1.01, "as much time"), (1.07, "7 % more time"), (2.1, "2.1 times its time")],
)
def test_no_share_is_above_one(ratio: float, text: str) -> None:
    assert of_its(ratio, "time") == text


def test_small_shares_keep_two_digits() -> None:
    assert [small_percent(s) for s in (0.00656, 0.0212, 0.163, 1)] == ["0.66 %", "2.1 %", "16 %", "100 %"]


def test_moments() -> None:
    assert moment("2026-11-24T04:10:02.113+00:00") == "24 November 2026, 04:10 UTC"
    assert moment("soon") == "soon"
    assert moment(None) == "–"


def test_a_period_tells_its_day_once() -> None:
    start = "2026-11-24T04:10:02+00:00"
    assert period(start, "2026-11-24T05:00:00+00:00") == "24 November 2026, 04:10 to 05:00 UTC"
    assert period(start, "2026-11-25T05:00:00+00:00") == "24 November 2026, 04:10 UTC to 25 November 2026, 05:00 UTC"
    assert period(start, None) == "24 November 2026, 04:10 UTC to –"


@pytest.mark.parametrize(("low", "high"), [(6.1, 6.4), (5, 30), (20, 200), (0.5, 90_000)])
def test_the_cost_axis_has_some_ticks_and_not_too_many(low: float, high: float) -> None:
    ticks = cost_ticks(low, high, 9)
    assert 2 <= len(ticks) <= 10
    assert all(low <= tick <= high for tick in ticks)


SCORE = {"quality": 0.25, "quality_interval": [0.2, 0.31], "n": 100}
WRITTEN = {
    "rows": 100,
    "new_tokens": 40,
    "recommended": {"exact_match": SCORE, "rouge_l": SCORE, "chrf": SCORE},
    "untuned": {"exact_match": {**SCORE, "quality": 0.0}, "rouge_l": SCORE, "chrf": SCORE},
}


def test_what_models_wrote_is_told_with_how_it_came_about(result: Result) -> None:
    assert view_of(result).written is None
    written = view_of(result | {"written": WRITTEN}).written
    assert written is not None
    of = result["task"]["rows"]["test"]
    assert written.told.startswith(f"What models write for 100 of the {of:,} test rows")
    assert "at most 40 tokens" in written.told
    assert written.metrics == ["exact_match", "rouge_l", "chrf"]
    assert [(row.name, row.scores[0][0].text) for row in written.rows] == [
        ("recommended", "0.250"),
        ("untuned model", "0.000"),
    ]


def test_it_stands_in_every_report_and_in_80_columns(result: Result, tmp_path: Path) -> None:
    told = result | {"written": WRITTEN}
    console = Console(width=80, file=io.StringIO(), color_system=None)
    for part in result_tables(told, "runs/x"):
        console.print(part)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert max(map(len, text.splitlines())) <= 80
    assert re.search(r"untuned model\s+0.000±.055\s+0.250±.055", text)
    markdown = markdown_text(view_of(told))
    assert "| untuned model | 0.000 | 0.200 to 0.310 | 0.250 |" in markdown
    assert "What it writes" in html_text(view_of(told), told, tmp_path)
