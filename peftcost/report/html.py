"""Writes report.html, report.md and front.png of a run, from its result.json alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from peftcost.errors import UserError
from peftcost.report.picture import draw, png_bytes, svg_text
from peftcost.report.view import view_of


def write_report(run_folder: Path) -> dict[str, Path]:
    """Write the three files and return their paths by kind. UserError when the run has no result.json yet."""
    result_file = run_folder / "result.json"
    if not result_file.exists():
        raise UserError(f"{run_folder} has no result.json; finish the run with `peftcost resume {run_folder}` first.")
    result = json.loads(result_file.read_text(encoding="utf-8"))
    return write_files(run_folder, result)


def write_files(folder: Path, result: dict[str, Any]) -> dict[str, Path]:
    """The reports of a result."""
    figure = draw(result)
    paths = {kind: folder / name for kind, name in (("html", "report.html"), ("md", "report.md"), ("png", "front.png"))}
    paths["png"].write_bytes(png_bytes(figure))
    view = view_of(result)
    for kind in ("html", "md"):
        text = environment(kind).get_template(f"report.{kind}").render(view=view, svg=svg_text(figure))
        paths[kind].write_text(text, encoding="utf-8")
    return paths


def environment(kind: str) -> Environment:
    """Jinja2, with escaping in both formats: texts come from data files and from users."""
    found = Environment(
        loader=PackageLoader("peftcost.report"),
        autoescape=kind == "html",
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters["cell"] = markdown_cell
    return found


def markdown_cell(text: object) -> str:
    """A text that cannot break out of a Markdown table's cell, nor bring HTML with it."""
    flat = " ".join(str(text).split())
    for character, entity in (
        ("&", "&amp;"),
        ("<", "&lt;"),
        (">", "&gt;"),
        ("|", "\\|"),
        ("[", "\\["),
        ("`", "\\`"),
    ):
        flat = flat.replace(character, entity)
    return flat
