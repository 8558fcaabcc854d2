"""Writes what of the reference is made from the code: docs/api.md, docs/cli.md, docs/result.schema.json and
the picture of the layers.

`python scripts/reference.py` writes all. A test holds that they are up to date.
"""

from __future__ import annotations

import inspect
import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import typer

import peftcost
from peftcost.cli.app import app
from peftcost.recipe.model import TrainedModel
from peftcost.recipe.trainable import TrainableRecipe
from peftcost.recommend.schema import json_schema

DOCS = Path(__file__).parent.parent / "docs"
TITLES = ("Args", "Returns", "Raises", "Attributes")
HEAD = """# Python API

[python.md](python.md) shows it by example. This page is made from the docstrings by `python scripts/reference.py`.

"""

CLI_HEAD = """# Command line

Each command says the same of itself with the option `--help`. This page is made from the commands by
`python scripts/reference.py`. Exit codes: [exit-codes.md](exit-codes.md).

"""
WIDTH, HEIGHT, GAP = 760, 34, 8
"""Of the layers' picture, in pixels: the whole, a box, the space between."""


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


def cli_page() -> str:
    """The reference of the command line: each command's use, arguments and options."""
    group = typer.main.get_command(app)
    parts = []
    for name, command in sorted(group.commands.items()):  # type: ignore[attr-defined]
        context = command.make_context(name, [], resilient_parsing=True)
        usage = " ".join([f"peftcost {name}", *command.collect_usage_pieces(context)])
        rows = [row for parameter in command.get_params(context) if (row := option_row(parameter, context)) is not None]
        table = "| | |\n|---|---|\n" + "\n".join(f"| {left} | {right} |" for left, right in rows)
        parts.append(f"## peftcost {name}\n\n```text\n{usage}\n```\n\n{inspect.cleandoc(command.help or '')}\n\n{table}")
    return CLI_HEAD + "\n\n".join(parts) + "\n"


def option_row(parameter: Any, context: Any) -> tuple[str, str] | None:
    """An argument's or option's names and help; None for a hidden one."""
    if getattr(parameter, "hidden", False):
        return None
    names = ", ".join(f"`{name}`" for name in [*parameter.opts, *parameter.secondary_opts])
    if parameter.param_type_name == "argument":
        names = f"`{parameter.name.upper()}`"
    text = " ".join((getattr(parameter, "help", None) or "").split())
    return names, text.replace("|", "\\|")


def layers_picture() -> str:
    """The packages as pyproject.toml layers them: each row may import from the rows below it."""
    contracts = tomllib.loads((DOCS.parent / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    rows = [[name.strip().removeprefix("peftcost.") for name in layer.split("|")] for layer in layers]
    boxes = []
    for number, names in enumerate(rows):
        width = (WIDTH - GAP * (len(names) + 1)) / len(names)
        for at, name in enumerate(names):
            x, y = GAP + at * (width + GAP), GAP + number * (HEIGHT + GAP)
            boxes.append(
                f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{HEIGHT}" rx="4" fill="#e8eef7" stroke="#5b7db1"/>'
                f'<text x="{x + width / 2:.1f}" y="{y + HEIGHT / 2 + 5}" text-anchor="middle">{escape(name)}</text>'
            )
    height = GAP + len(rows) * (HEIGHT + GAP)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="14" '
        f'role="img" aria-label="Layers of packages, the upper ones import the lower ones">'
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>{"".join(boxes)}</svg>\n'
    )


PAGES = {"api.md": api_page, "cli.md": cli_page, "result.schema.json": schema_text, "layers.svg": layers_picture}

if __name__ == "__main__":
    for name, made in PAGES.items():
        (DOCS / name).write_text(made(), encoding="utf-8")
        print(DOCS / name)
