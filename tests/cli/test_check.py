"""`peftcost check`: what it tells of a file before anything is spent."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROWS = [f"text number {i} about things,{'good' if i % 2 else 'bad'}" for i in range(60)]


def check(folder: Path, *arguments: str, lines: list[str] = ROWS) -> subprocess.CompletedProcess[str]:
    (folder / "reviews.csv").write_text("text,label\n" + "\n".join(lines) + "\n", encoding="utf-8")
    command = [sys.executable, "-m", "peftcost", "check", "reviews.csv", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)


def test_rows_shares_and_classes_are_told(tmp_path: Path) -> None:
    done = check(tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("text-classification: text = 'text', label = 'label'; metric accuracy")
    for told in ("50.0%  its own file", "30.0%  split off from train", "good ", "Nothing is wrong"):
        assert told in done.stdout


def test_a_bad_row_is_an_error_or_is_listed(tmp_path: Path) -> None:
    lines = [*ROWS[:5], "no label", *ROWS[5:], ",good"]
    done = check(tmp_path, lines=lines)
    assert (done.returncode, "line 7" in done.stderr) == (2, True)
    done = check(tmp_path, "--skip-bad-rows", "--json", lines=lines)
    found = json.loads(done.stdout)
    assert sum(found["rows"].values()) == 60
    assert ["line 7" in found["rejected"][0], "line 63" in found["rejected"][1], len(found["rejected"])] == [True, True, 2]


def test_a_language_that_the_base_does_not_know_is_told(tmp_path: Path) -> None:
    assert json.loads(check(tmp_path, "--json").stdout)["tokens"]["unknown"] == {"Latin": 0.0}
    chinese = [f"我非常喜欢这个酒店的早餐和服务 {i},{'good' if i % 2 else 'bad'}" for i in range(60)]
    found = json.loads(check(tmp_path, "--json", lines=chinese).stdout)
    assert found["tokens"]["unknown"]["CJK"] > 0.5
    assert any("CJK" in warning and "multilingual" in warning for warning in found["warnings"])


def test_texts_that_are_cut_are_told(tmp_path: Path) -> None:
    found = json.loads(check(tmp_path, "--json", lines=[line.replace(",", " word" * 600 + ",") for line in ROWS]).stdout)
    assert found["tokens"]["cut"] == 1.0
    assert any("cut there" in warning for warning in found["warnings"])
