"""Imports point one way, the controller is free of torch, files stay small."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def test_layers_are_kept() -> None:
    lint = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([lint], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    "module",
    [
        "peftcost.api",
        "peftcost.runner.runner",
        "peftcost.searcher.controller",
        "peftcost.recommend.result",
        "peftcost.report.html",
        "peftcost.recipe.train",
        "peftcost.cli.app",
    ],
)
def test_the_controller_is_free_of_torch(module: str) -> None:
    code = f"import sys, {module}; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_core_needs_no_torch_and_touches_no_files() -> None:
    for path in (ROOT / "peftcost" / "core").glob("*.py"):
        text = path.read_text()
        assert "import torch" not in text
        assert not re.search(r"(?<![\w.])open\(", text)


def test_files_are_short() -> None:
    long = {p.name: n for p in (ROOT / "peftcost").rglob("*.py") if (n := len(p.read_text().splitlines())) > 400}
    assert not long
