"""Writes what of the reference is made from the code: docs/api.md and docs/result.schema.json.

`python scripts/reference.py` writes both. A test holds that they are up to date.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import peftcost
from peftcost.recipe.model import TrainedModel
from peftcost.recipe.trainable import TrainableRecipe
from peftcost.recommend.schema import json_schema

DOCS = Path(__file__).parent.parent / "docs"
TITLES = ("Args", "Returns", "Raises", "Attributes")
HEAD = """# Python API

[python.md](python.md) shows it by example. This page is made from the docstrings by `python scripts/reference.py`.

"""


def api_page() -> str:
    """The reference: each function, then each class with its public members."""
    public = [getattr(peftcost, name) for name in peftcost.__all__]
    functions = [found for found in public if inspect.isfunction(found)]
    classes = [found for found in public if inspect.isclass(found)] + [TrainableRecipe, TrainedModel]
    parts = [described("##", f"peftcost.{function.__name__}", function) for function in functions]
    for kind in classes:
        parts.append(f"## {kind.__name__}\n\n{prose(kind)}")
        parts += [described("###", f"{kind.__name__}.{name}", member) for name, member in members(kind)]
    return HEAD + "\n\n".join(parts) + "\n"


def members(kind: type) -> Iterator[tuple[str, Any]]:
    """The public methods and properties that the class itself defines, in its order."""
    for name, member in vars(kind).items():
        if not name.startswith("_") and (inspect.isfunction(member) or isinstance(member, property)):
            yield name, member


def described(level: str, name: str, member: Any) -> str:
    """One entry: its name, its signature, its docstring."""
    if isinstance(member, property):
        returned = inspect.signature(member.fget).return_annotation
        return f"{level} {name}\n\nA property, `{returned}`. {prose(member)}"
    return f"{level} {name}\n\n```text\n{spelled(name, inspect.signature(member))}\n```\n\n{prose(member)}"


def spelled(name: str, signature: inspect.Signature) -> str:
    """The signature with an argument a line."""
    lines, marked = [], False
    for parameter in signature.parameters.values():
        if parameter.name == "self":
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and not marked:
            lines.append("*")
            marked = True
        default = "" if parameter.default is parameter.empty else f" = {parameter.default!r}"
        lines.append(f"{parameter.name}: {parameter.annotation}{default}")
    inside = "".join(f"\n    {line}," for line in lines) + ("\n" if lines else "")
    return f"{name}({inside}) -> {signature.return_annotation}"


def prose(member: Any) -> str:
    """A docstring in Google's style as Markdown: its sections become lists."""
    found, section = [], ""
    for line in (inspect.getdoc(member) or "").splitlines():
        title = line.rstrip(":")
        entry = re.match(r"    (\w+): (.*)", line)
        if title in TITLES and line.endswith(":"):
            section = title
            found.append(f"{section}:\n")
        elif section and entry:
            found.append(f"- `{entry[1]}`: {entry[2]}")
        elif section and found[-1].startswith("- ") and line.strip():
            found.append(f"  {line.strip()}")
        else:
            found.append(line.strip() if section else line)
    return "\n".join(found)


def schema_text() -> str:
    """The JSON schema of result.json."""
    return json.dumps(json_schema(), indent=1, ensure_ascii=False) + "\n"


PAGES = {"api.md": api_page, "result.schema.json": schema_text}

if __name__ == "__main__":
    for name, made in PAGES.items():
        (DOCS / name).write_text(made(), encoding="utf-8")
        print(DOCS / name)
