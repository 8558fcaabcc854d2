"""Writes the pages in docs/benchmarks/ of comparisons, with their pictures, from the bench.json that `peftcost bench` wrote.

python benchmarks/suite_pages.py [NAME BENCH.JSON]     NAME: methods, few_labels or peft

With arguments, the file first takes the place of benchmarks/results/bench-NAME.json. The pictures are taken of bench.html in
Chromium (playwright).
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from machine import RESULTS
from PIL import Image
from playwright.sync_api import sync_playwright

from peftcost.bench.write import html_text, markdown_text, read_bench

DOCS = Path(__file__).parents[1] / "docs" / "benchmarks"
HEADS = {
    "methods": (
        "Measured by `peftcost bench benchmarks/suites/methods.yaml` on the tasks that packages bring "
        "(`python benchmarks/suite_data.py` writes some of them). This page is made from "
        "`benchmarks/results/bench-methods.json` by `python benchmarks/suite_pages.py`."
    ),
    "few_labels": (
        "Measured by `peftcost bench benchmarks/suites/few_labels.yaml --devices cpu:1` (before that, once, "
        "`python benchmarks/suite_data.py`): 160 training rows, six epochs. One core of two; other programs ran on the "
        "other, so qualities count here and seconds less. This page is made from "
        "`benchmarks/results/bench-few_labels.json` by `python benchmarks/suite_pages.py`."
    ),
    "peft": (
        "Made by `peftcost bench FOLDER` from the 63 result files of the MetaMathQA suite in "
        "[huggingface/peft](https://github.com/huggingface/peft/tree/main/method_comparison) (commit 5d602fd, 21 August "
        "2026, Apache-2.0). `benchmarks/results/bench-peft.json` keeps the figures; this page is made from it by "
        "`python benchmarks/suite_pages.py`."
    ),
}
COLOURS = 96
"""Of a picture: enough for a page, and small."""


def write_page(name: str) -> None:
    facts = read_bench(RESULTS / f"bench-{name}.json")
    picture = DOCS / f"bench-{name}.png"
    take_picture(html_text(facts), picture)
    title, _, rest = markdown_text(facts).partition("\n\n")
    page = f"{title}\n\n{HEADS[name]}\n\n![The head of bench.html]({picture.name})\n\n{rest.rstrip()}\n"
    (DOCS / f"bench-{name}.md").write_text(page, encoding="utf-8")
    print(DOCS / f"bench-{name}.md")


def take_picture(html: str, out: Path) -> None:
    """The fronts and what stands above them, as they look 1000 pixels wide."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        file = Path(folder) / "bench.html"
        file.write_text(html, encoding="utf-8")
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1000, "height": 800})
        page.goto(file.as_uri())
        page.wait_for_selector(".main-svg")
        end = page.locator(".fronts").evaluate("e => e.getBoundingClientRect().bottom")
        page.screenshot(path=str(out), full_page=True, clip={"x": 0, "y": 0, "width": 1000, "height": end})
        browser.close()
    Image.open(out).convert("RGB").quantize(COLOURS).save(out, optimize=True)


def main(arguments: list[str]) -> None:
    if arguments:
        name, source = arguments
        shutil.copyfile(source, RESULTS / f"bench-{name}.json")
    for name in HEADS:
        if (RESULTS / f"bench-{name}.json").exists():
            write_page(name)


if __name__ == "__main__":
    main(sys.argv[1:])
