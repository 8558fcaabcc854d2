"""Writes report.html, report.md and front.png of a run, from its result.json alone."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from peftcost.errors import UserError
from peftcost.report.picture import NARROW, WIDE, memory_range, png_bytes, svg_element
from peftcost.report.predicted import predicted_svg
from peftcost.report.view import View, view_of

TEMPLATES = PackageLoader("peftcost.report")
UNIT = r"(?<=\d) (?=(s|min|h|ms|KB|MB|GB|%)\b|%)"
"""The space before a unit, where no line should break."""


def write_report(run_folder: Path) -> dict[str, Path]:
    """Write the three files and return their paths by kind (html, md, png).

    UserError when the run has no result.json yet, or one that is not JSON.
    """
    result_file = run_folder / "result.json"
    if not result_file.exists():
        raise UserError(f"{run_folder} has no result.json; finish the run with `peftcost resume {run_folder}` first.")
    try:
        result = json.loads(result_file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(
            f"{result_file} is not JSON ({error}); write it again with `peftcost resume {run_folder}`."
        ) from error
    return write_files(run_folder, result)


def write_files(folder: Path, result: Mapping[str, Any]) -> dict[str, Path]:
    """The reports of a result."""
    view = view_of(result, folder.resolve().name)
    paths = {kind: folder / name for kind, name in (("html", "report.html"), ("md", "report.md"), ("png", "front.png"))}
    paths["html"].write_text(html_text(view), encoding="utf-8")
    paths["md"].write_text(markdown_text(view), encoding="utf-8")
    paths["png"].write_bytes(png_bytes(view))
    return paths


def html_text(view: View) -> str:
    """One page that needs nothing else. Its policy forbids all requests, and every script but its own."""
    script = TEMPLATES.get_source(Environment(), "report.js")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    page = Environment(loader=TEMPLATES, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    page.filters["unbroken"] = lambda text: re.sub(UNIT, "\u00a0", text)
    return page.get_template("report.html").render(
        view=view,
        wide=svg_element(view, WIDE, "wide"),
        narrow=svg_element(view, NARROW, "narrow"),
        predictions=predicted_svg(view),
        memory_range=memory_range(view),
        script=Markup(script),
        script_policy=f"'sha256-{digest}'",
    )


def notebook_html(result: Mapping[str, Any]) -> str:
    """What a notebook shows of a result: the recommendation, and the best trade-offs, all of it escaped."""
    page = Environment(loader=TEMPLATES, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return page.get_template("notebook.html").render(view=view_of(result))


def markdown_text(view: View) -> str:
    """The same in brief. Every value is escaped on its way out, as autoescape does for HTML."""
    page = Environment(
        loader=TEMPLATES,
        autoescape=False,
        finalize=escape_markdown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page.filters["verbatim"] = lambda text: Markup(" ".join(str(text).split()))
    return page.get_template("report.md").render(view=view, memory_range=memory_range(view))


def escape_markdown(value: object) -> str:
    """A text that cannot break out of its line or table cell, nor bring markup, formulas or HTML with it."""
    if isinstance(value, Markup):
        return str(value)
    flat = " ".join(str(value).split())
    flat = flat.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    flat = re.sub(r"(?<=\w)_(?=\w)|([\\`*_\[\]|~$])", lambda m: f"\\{m[1]}" if m[1] else m[0], flat)
    return re.sub(r"^(?:([#+-])|(\d+)([.)])(?=\s|$))", lambda m: f"\\{m[1]}" if m[1] else f"{m[2]}\\{m[3]}", flat)
