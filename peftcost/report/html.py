"""Writes report.html, report.md and front.png of a run, from its folder."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

from peftcost.report import numbers
from peftcost.report.examples import NOTHING_HIDDEN, Shown
from peftcost.report.markdown import escape_markdown
from peftcost.report.page import page_data, page_of
from peftcost.report.picture import memory_range, png_bytes
from peftcost.report.view import View, view_of
from peftcost.store.run_folder import RunFolder

TEMPLATES = PackageLoader("peftcost.report")
SCRIPTS = ("base", "front", "figures", "setups", "start")
PLOTLY = "vendor/plotly-basic.min.js"
UNIT = r"(?<=\d) (?=(s|min|h|ms|KB|MB|GB|%)\b|%)"
"""The space before a unit, where no line should break."""


def write_report(run_folder: Path, shown: Shown = NOTHING_HIDDEN) -> dict[str, Path]:
    """Write the three files and return their paths by kind (html, md, png). shown: of the data.

    UserError when the run has no result.json yet, or one that is not JSON.
    """
    return write_files(run_folder, RunFolder(run_folder).read_result(), shown)


def write_files(folder: Path, result: Mapping[str, Any], shown: Shown = NOTHING_HIDDEN) -> dict[str, Path]:
    """The reports of a result. folder: the run's, as it is typed."""
    view = view_of(result, str(folder))
    paths = {kind: folder / name for kind, name in (("html", "report.html"), ("md", "report.md"), ("png", "front.png"))}
    paths["html"].write_text(html_text(view, result, folder, shown), encoding="utf-8")
    paths["md"].write_text(markdown_text(view), encoding="utf-8")
    paths["png"].write_bytes(png_bytes(view))
    return paths


def html_text(view: View, result: Mapping[str, Any], folder: Path, shown: Shown = NOTHING_HIDDEN) -> str:
    """One page that needs nothing else. Its policy forbids all requests, and every script but its own two.

    folder: the run's; what is not there (curves, rows) is left out.
    """
    page = page_of(view, result, folder, shown)
    plotly, script = source(PLOTLY), page_script(SCRIPTS)
    return (
        environment()
        .get_template("report.html")
        .render(
            view=view,
            page=page,
            data=htmlsafe_json_dumps(page_data(page, view, result), ensure_ascii=False),
            plotly=Markup(plotly),
            script=Markup(script),
            script_policy=f"{digest(plotly)} {digest(script)}",
        )
    )


def notebook_html(result: Mapping[str, Any], run: str) -> str:
    """What a notebook shows of a result: the recommendation, and the best trade-offs, all of it escaped. run: its folder, as
    it is typed."""
    return environment().get_template("notebook.html").render(view=view_of(result, run))


def markdown_text(view: View) -> str:
    """The same in brief."""
    return markdown_environment().get_template("report.md").render(view=view, memory_range=memory_range(view))


def markdown_environment() -> Environment:
    """Of Markdown: every value is escaped on its way out, as autoescape does for HTML."""
    found = Environment(
        loader=TEMPLATES,
        autoescape=False,
        finalize=escape_markdown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters["verbatim"] = lambda text: Markup(" ".join(str(text).split()))
    return found


def environment() -> Environment:
    """Of pages: everything is escaped that is no Markup."""
    found = Environment(loader=TEMPLATES, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    found.filters["unbroken"] = lambda text: re.sub(UNIT, "\u00a0", str(text))
    found.filters["seconds"] = lambda value: numbers.seconds(value).text
    found.filters["size"] = lambda value: numbers.size(value).text
    return found


@cache
def source(name: str) -> str:
    """A file that lies among the templates."""
    return TEMPLATES.get_source(Environment(), name)[0]


def page_script(names: Sequence[str]) -> str:
    """A page's own scripts as one, with nothing in the global scope."""
    parts = "\n".join(source(f"js/{name}.js") for name in names)
    return f'(() => {{\n"use strict";\n{parts}}})();'


@cache
def digest(script: str) -> str:
    """How a policy names a script that it allows."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
