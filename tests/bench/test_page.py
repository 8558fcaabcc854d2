"""bench.html in a browser: in the design of report.html, under the same policy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import browsing
import pytest
from bench.made import TASKS, comparison

from peftcost.bench.write import write_bench


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_bench(tmp_path_factory.mktemp("bench"), comparison())[0].as_uri()


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (400, "light")])
def test_it_opens_without_errors_requests_or_sideways_scrolling(browser: Any, url: str, width: int, scheme: str) -> None:
    page = browsing.opened(browser, url, width=width, scheme=scheme)
    assert page.complaints == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator(".fronts .main-svg").count() >= len(TASKS)
    assert page.locator("#ranks .who").count() == 4
    pytest.importorskip("axe_playwright_python")
    assert browsing.serious_faults(page) == []
    page.close()


def test_names_are_shown_as_text_and_the_axis_and_the_methods_are_chosen(browser: Any, url: str) -> None:
    page = browsing.opened(browser, url)
    assert page.locator("body img").count() == 0 and "<script>alert(2)</script>" in page.locator("#lines").inner_text()
    title = "document.getElementById('front4').layout.xaxis.title.text"
    assert page.evaluate(title) == "CPU time"
    page.locator("#axes [data-axis=time]").focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate(title) == "peak memory"
    drawn = "document.getElementById('front0').data.filter(t => t.mode === 'markers').length"
    assert page.evaluate(drawn) == 4
    page.click("#legend [data-method=lora]")
    assert page.evaluate(drawn) == 3
    assert page.complaints == []
    page.close()


def test_one_task_has_intervals_in_place_of_ranks(browser: Any, tmp_path: Path) -> None:
    page = browsing.opened(browser, write_bench(tmp_path, comparison(TASKS[:1]))[0].as_uri())
    assert page.locator("#ranks").count() == 0 and page.locator("#pairs").count() == 0
    assert "95 % interval" in page.locator("#lines").inner_text()
    assert page.complaints == []
    page.close()
