"""`make gpu-check`: what it runs, and when it runs it again. The checks themselves need a GPU."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.gpu import check, table

TESTS = Path(__file__).parent


def test_every_file_with_a_test_for_gpus_is_named() -> None:
    marked = {str(path.relative_to(TESTS.parent)) for path in TESTS.rglob("test_*.py") if "mark.gpu" in path.read_text()}
    assert set(check.TESTS) == marked - {"tests/test_gpu_check.py"}


@pytest.fixture
def checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """What a call runs; the results are in tmp_path."""
    ran: list[str] = []

    def run(part: str) -> dict[str, Any]:
        ran.append(part)
        return {"ok": part != "mix minilm", "seconds": 1.0, "result": {}}

    def called(*arguments: str, code: str = "a") -> list[str]:
        ran.clear()
        monkeypatch.setattr(sys, "argv", ["check.py", *arguments])
        monkeypatch.setattr(check, "code_fingerprint", lambda: code)
        check.main()
        return list(ran)

    monkeypatch.setattr(check, "ROOT", tmp_path)
    monkeypatch.setattr(check, "run", run)
    monkeypatch.setattr(check, "card_name", lambda: "A Card")
    monkeypatch.setattr(check, "version", lambda name: "2.11.0+cu130")
    monkeypatch.setattr(check, "versions", dict)
    return called


def test_what_was_shown_of_this_code_is_not_run_again(checked: Callable[..., list[str]], tmp_path: Path) -> None:
    assert checked() == list(check.PARTS)
    assert checked() == ["mix minilm"], "it has failed"
    assert checked("--only", "steps", code="b") == [part for part in check.PARTS if part.startswith("steps ")]
    assert checked("--only", "doctor", "mix minilm", code="b") == ["doctor", "mix minilm"]
    assert checked("--only", "doctor", "--again", code="b") == ["doctor"]
    (file,) = (tmp_path / "benchmarks" / "results" / "gpu").iterdir()
    parts = json.loads(file.read_text())["parts"]
    assert (parts["doctor"]["code"], parts["search"]["code"]) == ("b", "a")


def test_a_cpu_build_of_torch_is_told_and_nothing_runs(
    checked: Callable[..., list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(check, "version", lambda name: "2.13.0+cpu")
    assert checked() == []
    said = capsys.readouterr().err
    assert "is a CPU build" in said
    assert "no GPU" not in said
    assert not list(tmp_path.iterdir())


def test_a_bare_python_says_all_that_is_missing(tmp_path: Path) -> None:
    command = [sys.executable, "-S", "-m", "benchmarks.gpu.check"]  # -S: no installed packages
    done = subprocess.run(command, cwd=TESTS.parent, env={"PATH": str(tmp_path)}, capture_output=True, text=True)
    assert done.returncode == 4
    assert done.stderr.startswith("Nothing was checked: nvidia-smi shows no GPU here; ")
    assert "has no torch" in done.stderr


def test_the_tables_read_the_parts_of_all_sizes_together(tmp_path: Path) -> None:
    file = tmp_path / "card.json"
    steps = {"plain lora": {"ms": 2.0}}
    rows = [{f"{size} lora": {"ratio": ratio}} for size, ratio in (("s", 1.02), ("m", 0.96))]
    parts = {"steps s": {"result": {"s": steps}}, "steps m": {"result": {"m": steps}}, "steps l": {"error": "killed"}}
    parts |= {f"memory {i}": {"result": row} for i, row in enumerate(rows)}
    file.write_text(json.dumps({"parts": parts}))
    head, _, first, *_ = table.table(file).splitlines()
    assert (head, first) == ("| ms a step | s | m |", "| PEFT, LoRA | 2.0 | 2.0 |")
    assert table.memory(file).startswith("memory predicted within 3.0% in the median")
