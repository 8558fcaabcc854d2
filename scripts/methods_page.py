"""Writes docs/methods.md: which method trains which architecture on which kind of task, by running the contract.

python scripts/methods_page.py     runs tests/methods/test_architectures.py, all cases: some minutes on two cores
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from peftcost.methods import methods

ROOT = Path(__file__).parent.parent
TESTS = ROOT / "tests"
PAGE = ROOT / "docs" / "methods.md"
HEAD = """# Which method trains what

Each cell is a case of `tests/methods/test_architectures.py`: a small random model of the architecture is trained by the
method for a few steps, saved, and loaded over a base of another seed; it has to predict the same. A number says why a
method refuses. This page is made by `python scripts/methods_page.py`, which runs all of them.

Regression, several labels and pairs of texts use the architectures of text classification with another loss.

"""


def outcomes() -> dict[tuple[str, str], bool]:
    """(method, architecture) -> whether the case holds; CalledProcessError where none could be run."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        options = ["-n", "2", "-q", "-k", "reloaded", f"--junitxml={report}"]
        subprocess.run([sys.executable, "-m", "pytest", TESTS / "methods" / "test_architectures.py", *options], cwd=ROOT)
        return {named(case): not len(case) for case in ElementTree.parse(report).iter("testcase")}


def named(case: ElementTree.Element) -> tuple[str, str]:
    """(method, architecture) of a case, whose name ends in [ARCHITECTURE-METHOD]."""
    told = case.get("name", "").partition("[")[2].removesuffix("]")
    method = max((name for name in methods() if told.endswith(f"-{name}")), key=len)
    return method, told.removesuffix(f"-{method}")


def page(held: dict[tuple[str, str], bool]) -> str:
    from methods.test_architectures import ARCHITECTURES, REFUSED

    names, reasons = list(methods()), sorted(set(REFUSED.values()))

    def cell(method: str, architecture: str) -> str:
        if not held[method, architecture]:
            return "**fails**"
        why = REFUSED.get((method, architecture))
        return "yes" if why is None else str(1 + reasons.index(why))

    lines = [f"| architecture | task | {' | '.join(names)} |", f"|---|---|{':-:|' * len(names)}"]
    for architecture, facts in ARCHITECTURES.items():
        cells = " | ".join(cell(method, architecture) for method in names)
        lines.append(f"| {architecture} | {facts.task} | {cells} |")
    lines += ["", *(f"{number}. \u201c\u2026{why}\u2026\u201d" for number, why in enumerate(reasons, 1))]
    return HEAD + "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.path.insert(0, str(TESTS))
    PAGE.write_text(page(outcomes()), encoding="utf-8")
    print(PAGE)
