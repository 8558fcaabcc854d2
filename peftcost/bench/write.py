"""Writes the files of a comparison: bench.json, bench.parquet, bench.html, bench.md."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

from peftcost.bench.cells import Comparison
from peftcost.bench.compare import SCHEMA_VERSION, facts_of
from peftcost.bench.page import page_data, page_of
from peftcost.errors import UserError
from peftcost.report.html import PLOTLY, digest, environment, markdown_environment, page_script, source

SCRIPTS = ("base", "bench")
Facts = Mapping[str, Any]


def write_bench(folder: Path, comparison: Comparison) -> list[Path]:
    """All files, and the paths of those for people."""
    folder.mkdir(parents=True, exist_ok=True)
    facts = facts_of(comparison)
    text = json.dumps(facts, indent=1, ensure_ascii=False)
    (folder / "bench.json").write_text(text + "\n", encoding="utf-8")
    write_parquet(folder / "bench.parquet", facts)
    for name, page in (("bench.html", html_text(facts)), ("bench.md", markdown_text(facts))):
        (folder / name).write_text(f"{page.rstrip()}\n", encoding="utf-8")
    return [folder / "bench.html", folder / "bench.md"]


def write_parquet(path: Path, facts: Facts) -> None:
    """A row a training, with what is known of its task."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    tasks = {task["name"]: {f"task_{key}": value for key, value in task.items() if key != "name"} for task in facts["tasks"]}
    rows = [training | tasks.get(training["task"], {}) for training in facts["trainings"]]
    pq.write_table(pa.Table.from_pylist(rows), path, compression="zstd")


def html_text(facts: Facts) -> str:
    """One page that needs nothing else, in the design of a run's report and under the same policy."""
    page = page_of(facts)
    plotly, script = source(PLOTLY), page_script(SCRIPTS)
    data = htmlsafe_json_dumps(page_data(page, facts), ensure_ascii=False)
    policy = f"{digest(plotly)} {digest(script)}"
    return (
        environment()
        .get_template("bench.html")
        .render(page=page, data=data, plotly=Markup(plotly), script=Markup(script), script_policy=policy)
    )


def markdown_text(facts: Facts) -> str:
    """The same in brief."""
    return markdown_environment().get_template("bench.md").render(page=page_of(facts))


def read_bench(path: Path) -> dict[str, Any]:
    """The facts of a comparison's folder, or of its bench.json. UserError for one that this version cannot read."""
    file = path / "bench.json" if path.is_dir() else path
    facts = json.loads(file.read_text(encoding="utf-8"))
    if facts.get("schema_version") != SCHEMA_VERSION:
        raise UserError(f"{file} was written by another version of peftcost; run `peftcost bench` again to write it anew.")
    return facts
