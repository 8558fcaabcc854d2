"""The page in a browser: what one sees, points at, clicks and types, by mouse and by keyboard."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import browsing
import pytest
from report.folders import with_examples

from peftcost.report.html import write_files

Result = dict[str, Any]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a run whose texts, labels and paths are HTML and JavaScript."""
    folder = tmp_path_factory.mktemp("run<b>")
    return write_files(folder, with_examples(folder))["html"]


def opened(browser: Any, report: Path, **more: Any) -> Any:
    return browsing.opened(browser, report.as_uri(), "#front .main-svg", **more)


@pytest.fixture
def page(browser: Any, report: Path) -> Iterator[Any]:
    found = opened(browser, report)
    yield found
    assert found.complaints == []
    found.close()


def marks(page: Any) -> int:
    """How many setups the front shows; the step line and the ring are no setups."""
    return page.evaluate(
        "document.getElementById('front').data.filter(t => t.customdata).reduce((n, t) => n + t.x.length, 0)"
    )


def place_of(page: Any, setup: Result) -> tuple[float, float]:
    """Where a setup's mark is in the window."""
    page.locator("#front").scroll_into_view_if_needed()
    return tuple(
        page.evaluate(
            """([x, y]) => { const plot = document.getElementById("front"), box = plot.getBoundingClientRect();
            const {xaxis, yaxis} = plot._fullLayout;
            return [box.x + xaxis._offset + xaxis.l2p(Math.log10(x)), box.y + yaxis._offset + yaxis.l2p(y)]; }""",
            [setup["gpu_seconds"], setup["quality"]],
        )
    )


def advised(result: Result) -> Result:
    return next(e for e in result["setups"] if e["id"] == result["recommendation"]["id"])


def axis_title(page: Any) -> str:
    return page.evaluate("document.getElementById('front').layout.xaxis.title.text")


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (400, "light")])
def test_it_opens_without_errors_requests_or_sideways_scrolling(browser: Any, report: Path, width: int, scheme: str) -> None:
    page = opened(browser, report, width=width, scheme=scheme)
    assert page.complaints == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("#front .main-svg").first.is_visible()
    page.close()


def test_texts_of_users_are_shown_and_never_run(page: Any) -> None:
    text = page.locator("body").inner_text()
    for said in ("<script>alert(1)</script>", "tweets <b>2026</b>.csv", "<img src=x onerror=alert(4)>"):
        assert said in text
    assert page.locator("body img").count() == 0
    assert page.locator("script:not([type])").count() == 2


def test_pointing_at_a_mark_shows_the_setup_with_its_choices(page: Any, result: Result) -> None:
    chosen = advised(result)
    page.mouse.move(*place_of(page, chosen))
    page.wait_for_selector("#card:not([hidden])")
    text = page.locator("#card").inner_text()
    assert "frozen top 2 layers" in text and f"{chosen['quality']:.3f}" in text and "recommended" in text


def test_a_click_on_a_mark_goes_to_its_row(page: Any, result: Result) -> None:
    chosen = advised(result)
    assert not page.locator("#all").evaluate("e => e.open")
    page.mouse.click(*place_of(page, chosen))
    assert page.locator("#all").evaluate("e => e.open")
    assert page.evaluate("document.activeElement.id") == f"row-{chosen['id']}"


def test_the_front_is_walked_with_the_keyboard(page: Any, result: Result) -> None:
    cheapest = min((e for e in result["setups"] if e["gpu_seconds"]), key=lambda e: e["gpu_seconds"])
    page.locator("#front").focus()
    page.keyboard.press("ArrowRight")
    assert f"{cheapest['quality']:.3f}" in page.locator("#card").inner_text()
    assert page.locator("#said").inner_text()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == f"row-{cheapest['id']}"


def test_the_axis_is_chosen_with_mouse_and_keyboard(page: Any) -> None:
    assert "CPU time" in axis_title(page)
    page.click("#axes [data-axis=memory]")
    assert "memory" in axis_title(page)
    page.keyboard.press("ArrowLeft")
    assert "money" in axis_title(page)
    before = page.evaluate("Math.max(...document.getElementById('front').data.flatMap(t => t.x))")
    page.fill("#price input", "2.5")
    assert page.evaluate("Math.max(...document.getElementById('front').data.flatMap(t => t.x))") == pytest.approx(
        2.5 * before
    )


def test_the_legend_filters_with_mouse_and_keyboard(page: Any, result: Result) -> None:
    everything = sum(e["status"] == "measured" for e in result["setups"])
    lora = sum(e["status"] == "measured" and e["method"] == "lora" for e in result["setups"])
    button = page.locator("#legend [data-method=lora]")
    assert marks(page) == everything
    button.click()
    assert marks(page) == everything - lora
    assert button.get_attribute("aria-pressed") == "false"
    button.focus()
    page.keyboard.press("Enter")
    assert marks(page) == everything


def test_what_lies_far_below_is_counted_and_can_be_shown(browser: Any, result: Result, tmp_path: Path) -> None:
    outlier = next(e for e in result["setups"] if e["method"] == "nf4-lora" and e["status"] == "measured")
    outlier |= {"quality": 0.11, "quality_interval": [0.1, 0.12]}
    page = opened(browser, write_files(tmp_path, result)["html"])
    low = "document.getElementById('front').layout.yaxis.range[0]"
    assert page.evaluate(low) > 0.5
    assert page.locator("#beyond").inner_text() == "1 setup lies below the picture."
    page.click("#zoom-all")
    assert page.evaluate(low) < 0.11
    page.close()


def test_the_table_is_sorted_searched_and_filtered(page: Any, result: Result) -> None:
    page.locator("#all summary").click()
    qualities = [
        float(v) for v in page.locator("#setups tbody td:nth-child(3)").evaluate_all("c => c.map(x => x.dataset.value)")
    ]
    assert qualities == sorted(qualities, reverse=True)
    page.locator("#setups thead button", has_text="memory").click()
    sizes = [float(v) for v in page.locator("#setups tbody td:nth-child(5)").evaluate_all("c => c.map(x => x.dataset.value)")]
    assert sizes == sorted(sizes, reverse=True)
    page.fill("#query", "lora r=8")
    shown = page.locator("#setups tbody tr:not([hidden]) td.id").all_inner_texts()
    assert shown and all("lora" in text and "r=8" in text for text in shown)
    page.fill("#query", "")
    page.select_option("#method", "frozen")
    assert page.locator("#setups tbody tr:not([hidden])").count() == sum(
        e["method"] == "frozen" and e["status"] == "measured" for e in result["setups"]
    )
    page.locator("#only-front").check()
    assert page.locator("#setups tbody tr:not([hidden])").count() == sum(
        e["method"] == "frozen" and e["id"] in result["front"] for e in result["setups"]
    )


def test_a_row_copies_the_command_that_writes_its_recipe(browser: Any, report: Path, result: Result) -> None:
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    page = context.new_page()
    page.goto(report.as_uri())
    page.locator("#all summary").click()
    row = page.locator(f"#row-{advised(result)['id']}")
    row.locator("button.copy").click()
    page.locator("#said", has_text="Copied").wait_for(state="attached")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith(f"peftcost recommend '{report.parent}' --setup {advised(result)['id']} -o ")
    context.close()


def test_it_follows_the_system_into_the_dark_and_prints_light(page: Any) -> None:
    ground = "document.getElementById('front').layout.paper_bgcolor"
    light = page.evaluate(ground)
    page.emulate_media(color_scheme="dark")
    page.wait_for_timeout(300)
    assert page.evaluate(ground) != light
    page.emulate_media(color_scheme="dark", media="print")
    page.wait_for_timeout(300)
    assert page.evaluate(ground) in (light, "#fff")
    assert page.locator("#axes").is_hidden()


def test_a_finger_opens_the_card_and_stays(browser: Any, report: Path, result: Result) -> None:
    context = browser.new_context(viewport={"width": 400, "height": 800}, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.goto(report.as_uri())
    page.wait_for_selector("#front .main-svg")
    page.touchscreen.tap(*place_of(page, advised(result)))
    page.wait_for_selector("#card:not([hidden])")
    assert not page.locator("#all").evaluate("e => e.open")
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_fault(browser: Any, report: Path, scheme: str) -> None:
    pytest.importorskip("axe_playwright_python")
    page = opened(browser, report, scheme=scheme)
    page.locator("#all summary").click()
    assert browsing.serious_faults(page) == []
    page.close()


def test_five_thousand_setups_are_built_quickly_and_stay_usable(browser: Any, result: Result, tmp_path: Path) -> None:
    measured = [e for e in result["setups"] if e["status"] == "measured"]
    for i in range(5000 - len(measured)):
        entry = copy.deepcopy(measured[i % len(measured)])
        entry["id"] += f"-{i}"
        entry["lineage"] += f"-{i}"
        entry["quality"] -= 0.02 * (i % 97) / 97
        entry["gpu_seconds"] *= 1 + (i % 89) / 89
        entry["hyperparameters"]["learning_rate"] *= 1 + i % 7
        result["setups"].append(entry)
    began = time.process_time()
    report = write_files(tmp_path, result)["html"]
    assert time.process_time() - began < 10
    assert report.stat().st_size < 6_000_000
    page = opened(browser, report)
    assert marks(page) == 5000
    page.click("#axes [data-axis=memory]")
    page.locator("#all summary").click()
    page.fill("#query", "adalora")
    assert "of 5,000 setups" in page.locator("#count").inner_text()
    page.close()
