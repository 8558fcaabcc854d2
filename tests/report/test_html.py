"""The written reports: they tell what result.json holds, need nothing else, and run nothing that a user's text brings."""

from __future__ import annotations

import copy
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from peftcost.core.budget import format_seconds
from peftcost.core.percent import percent
from peftcost.errors import UserError
from peftcost.report.html import write_files, write_report
from peftcost.report.markdown import escape_markdown

FIXTURE = Path(__file__).with_name("result_fixture.json")
Result = dict[str, Any]


class Page(HTMLParser):
    """Tags with their attributes, visible text, and the tables by id: rows of (text, data-value)."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.scripts: list[str] = []
        self.data = ""
        self.tables: dict[str, list[list[tuple[str, str | None]]]] = {}
        self._hidden = self._script = False
        self._rows: list[list[tuple[str, str | None]]] | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append((tag, found))
        self._hidden, self._script = tag in ("style", "script"), tag == "script" and "type" not in found
        if self._script:
            self.scripts.append("")
        if tag == "table":
            self._rows = self.tables.setdefault(str(found.get("id")), [])
        elif tag == "tr" and self._rows is not None:
            self._rows.append([])
        elif tag == "td" and self._rows is not None:
            self._rows[-1].append(("", found.get("data-value")))

    def handle_endtag(self, tag: str) -> None:
        self._hidden = self._script = False
        if tag == "table":
            self._rows = None

    def handle_data(self, data: str) -> None:
        data = data.replace("\u00a0", " ")
        if self._script:
            self.scripts[-1] += data
        if self._hidden:
            return
        self.text += data
        if self._rows and self._rows[-1]:
            text, value = self._rows[-1][-1]
            self._rows[-1][-1] = (text + data, value)


@pytest.fixture
def result() -> Result:
    return json.loads(FIXTURE.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("run")
    (folder / "result.json").write_bytes(FIXTURE.read_bytes())
    return write_report(folder)


@pytest.fixture(scope="module")
def page(written: dict[str, Path]) -> Page:
    return Page(written["html"].read_text(encoding="utf-8"))


def test_three_files_are_written(written: dict[str, Path]) -> None:
    assert {kind: path.name for kind, path in written.items()} == {
        "html": "report.html",
        "md": "report.md",
        "png": "front.png",
    }
    assert written["html"].stat().st_size < 2_000_000
    assert Image.open(written["png"]).width == 1600


def test_the_page_makes_no_request(written: dict[str, Path], page: Page) -> None:
    text = written["html"].read_text(encoding="utf-8")
    for script in page.scripts:
        text = text.replace(script, "")
    for _, attributes in page.tags:
        assert not {"src", "srcset", "action", "background"} & set(attributes)
        for name in ("href", "xlink:href"):
            assert (attributes.get(name) or "#").startswith("#")
    assert "@import" not in text
    assert all(target.startswith("#") for target in re.findall(r"url\(['\"]?([^)]*)", text))


def test_texts_of_users_are_shown_and_never_run(written: dict[str, Path], page: Page) -> None:
    assert not any("alert(" in script for script in page.scripts)
    assert sum(tag == "script" and "type" not in a for tag, a in page.tags) == 2
    assert "img" not in {tag for tag, _ in page.tags}
    assert "tweets <b>" not in written["html"].read_text(encoding="utf-8")
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    for said in ("<script>alert(1)</script>", "[/x]", "中立 😐", "<img src=x onerror=alert(3)>", "text<script>alert(2)"):
        assert said in page.text
    policy = next(a["content"] for tag, a in page.tags if tag == "meta" and "http-equiv" in a)
    assert policy is not None
    assert "default-src 'none'" in policy
    assert "script-src 'sha256-" in policy


def test_the_policy_allows_the_pages_own_script(written: dict[str, Path], page: Page) -> None:
    import base64
    import hashlib

    for script in page.scripts:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert digest in written["html"].read_text(encoding="utf-8")


def test_the_table_holds_the_numbers_of_the_result(page: Page, result: Result) -> None:
    measured = {entry["id"]: entry for entry in result["setups"] if entry["status"] == "measured"}
    rows = [row for row in page.tables["setups"] if row]
    assert len(rows) == len(measured)
    for row in rows:
        entry = next(entry for setup_id, entry in measured.items() if setup_id in row[0][0])
        values = [float(value) for _, value in row[2:9] if value]
        assert values == pytest.approx(
            [
                entry[name]
                for name in (
                    "quality",
                    "gpu_seconds",
                    "peak_bytes",
                    "process_peak_bytes",
                    "latency_seconds",
                    "artifact_bytes",
                    "trainable_parameters",
                )
            ],
            rel=1e-5,
        )
        assert row[2][0].startswith(f"{entry['quality']:.3f}")
        assert row[3][0].startswith(format_seconds(entry["gpu_seconds"]))
        assert f"predicted {format_seconds(entry['predicted']['gpu_seconds'])}" in row[3][0]
    told = [float(row[2][1] or 0) for row in rows]
    assert told == pytest.approx(sorted((entry["quality"] for entry in measured.values()), reverse=True), rel=1e-5)


def test_what_was_not_measured_is_listed_with_its_reason(page: Page, result: Result) -> None:
    rows = [[text for text, _ in row] for row in page.tables["others"] if row]
    assert [(row[1], row[2]) for row in rows] == [
        (entry["status"], entry["reason"]) for entry in result["setups"] if entry["status"] != "measured"
    ]


def test_the_ledger_sums_to_what_was_spent(page: Page, result: Result) -> None:
    *rows, total = (float(row[1][1] or 0) for row in page.tables["ledger"] if row)
    assert sum(rows) == pytest.approx(total) == pytest.approx(result["budget"]["spent_gpu_seconds"])


def test_the_recommendation_comes_with_its_evidence(page: Page, written: dict[str, Path], result: Result) -> None:
    advice = result["recommendation"]
    full = next(e for e in result["setups"] if e["method"] == "full")
    for text in (page.text, written["md"].read_text(encoding="utf-8")):
        for said in (
            "Confirmed",
            "Use frozen with learning rate 0.0005, top layers 2, 4,000 examples (2 epochs)",
            f"95 % interval {advice['quality_interval'][0]:.3f} to {advice['quality_interval'][1]:.3f}",
            f"probability {percent(advice['probability_within_margin'])}",
            f"{percent(advice['gpu_seconds'] / full['gpu_seconds'])} of its time",
            "after 32 retrainings",
            "peftcost train recipe.yaml",
        ):
            assert said in text


def test_the_test_split_stands_beside_its_baselines(page: Page, result: Result) -> None:
    rows = [row for row in page.tables["test"] if row]
    assert [float(row[0][1] or 0) for row in rows] == [entry["quality"] for entry in result["test"].values()]


def test_markdown_tables_survive_texts_of_users(written: dict[str, Path]) -> None:
    text = written["md"].read_text(encoding="utf-8")
    assert not re.search(r"<(?!/?$)\w", re.sub(r"^    .*$", "", text, flags=re.M))
    for block in re.findall(r"(?:^\|.*\n)+", text, flags=re.M):
        columns = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
        assert len(columns) == 1, block


@pytest.mark.parametrize(
    ("said", "written_as"),
    [
        ("a|b", r"a\|b"),
        ("<b>", "&lt;b&gt;"),
        ("macro_f1", "macro_f1"),
        ("_x_ $y$", r"\_x\_ \$y\$"),
        ("line\n\n# head", "line # head"),
        ("# head", r"\# head"),
        ("[a](http://b)", r"\[a\](http://b)"),
        ("1. one", r"1\. one"),
        ("0.728", "0.728"),
        ("9.5 s", "9.5 s"),
    ],
)
def test_markdown_is_escaped(said: str, written_as: str) -> None:
    assert escape_markdown(said) == written_as


def unfinished(result: Result, setups: bool) -> Result:
    found = copy.deepcopy(result) | {"recommendation": None, "test": None, "front": [], "ended": None}
    found["budget"]["stopped_because"] = None
    found["budget"]["limit_gpu_seconds"] = float("inf")
    found["setups"] = [e for e in found["setups"] if e["status"] != "measured"] if setups else []
    return found


@pytest.mark.parametrize("setups", [True, False])
def test_an_unfinished_result_is_reported_too(result: Result, tmp_path: Path, setups: bool) -> None:
    paths = write_files(tmp_path, unfinished(result, setups))
    page = Page(paths["html"].read_text(encoding="utf-8"))
    for text in (page.text, paths["md"].read_text(encoding="utf-8")):
        assert "Nothing is recommended" in text
        assert "No setup was measured" in text
        assert "recipe.yaml" not in text
    assert "The test split was not opened." in page.text
    assert paths["png"].stat().st_size > 0


def test_an_unconfirmed_recommendation_says_so(result: Result, tmp_path: Path) -> None:
    result["recommendation"] |= {"confirmed": False, "more_gpu_seconds": 100.0}
    text = Page(write_files(tmp_path, result)["html"].read_text(encoding="utf-8")).text
    assert "Not confirmed" in text
    assert f"To be surer: peftcost resume {tmp_path} --budget" in text, "as the folder was named"
    assert "Use frozen" not in text


def test_what_is_worse_is_not_called_open(result: Result, tmp_path: Path) -> None:
    result["recommendation"] |= {"confirmed": False, "probability_within_margin": 0.01, "policy": "cheapest"}
    text = Page(write_files(tmp_path, result)["html"].read_text(encoding="utf-8")).text
    assert "worse than the best by more than" in text
    assert "cannot be told" not in text


def test_figures_that_are_not_known_are_not_zero(result: Result, tmp_path: Path) -> None:
    entry = next(e for e in result["setups"] if e["method"] == "adalora")
    entry["quality_interval"] = [float("nan"), float("nan")]
    entry["latency_seconds"] = None
    page = Page(write_files(tmp_path, result)["html"].read_text(encoding="utf-8"))
    row = next(row for row in page.tables["setups"] if row and entry["id"] in row[0][0])
    assert row[6] == ("–", "")
    assert "nan" not in page.text.lower().replace("nan at step", "")


def test_a_run_without_a_result_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="peftcost.resume"):
        write_report(tmp_path)
    (tmp_path / "result.json").write_text("{")
    with pytest.raises(UserError, match="not JSON"):
        write_report(tmp_path)


def test_predicted_stands_beside_measured(result: Result, tmp_path: Path) -> None:
    text = write_files(tmp_path, result)["html"].read_text(encoding="utf-8")
    assert "Predictions missed CPU time by 4" in text.replace("\u00a0", " ")
    for entry in result["setups"]:
        entry["predicted"] = {"gpu_seconds": None, "peak_bytes": None}
    assert "Predictions missed" not in write_files(tmp_path, result)["html"].read_text(encoding="utf-8")


def test_the_reading_stands_beside_the_estimate_where_it_differs(result: Result, tmp_path: Path) -> None:
    entry = next(e for e in result["setups"] if e["id"] == result["recommendation"]["id"])
    entry["reading"] = entry["quality"] + 0.02
    page = Page(write_files(tmp_path, result)["html"].read_text(encoding="utf-8"))
    row = next(row for row in page.tables["setups"] if row and entry["id"] in row[0][0])
    assert f"read {entry['reading']:.3f}" in row[2][0]
