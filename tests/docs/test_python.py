"""The Python that README and docs show runs, block after block."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
WORDS = {"good": "works well and lasts long", "bad": "broke soon and I want my money back"}
REVIEWS = "review,stars\n" + "".join(f"number {i} {words},{label}\n" for i in range(120) for label, words in WORDS.items())

pytestmark = pytest.mark.timed


LINE = re.compile(r"(frozen|lora): \d\.\d{3} in \d+\.\d s, \d+ MB|recommended: (frozen|lora)-[0-9a-f]{10}")
"""Of what the README's block prints."""


def blocks_of(page: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("page", ["README.md", "docs/python.md"])
def test_blocks_run_in_their_order(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "reviews.csv").write_text(REVIEWS)
    names: dict[str, object] = {}
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        for block in blocks_of(page):
            exec(compile(block, page, "exec"), names)
    assert printed.getvalue()
    if page == "README.md":
        (shown,) = re.findall(r"^```text\n(.*?)^```$", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
        assert all(LINE.fullmatch(line) for line in (printed.getvalue() + shown).splitlines())
    if page == "docs/python.md":
        assert "Did you mean 'stars'?" in printed.getvalue()
