"""Writes the fields of a task as YAML, with a comment on each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from peftcost.core.one_line import one_line

COMMENTS = {
    "model": "hub id, folder, or builtin:minilm; a list of them is searched over",
    "task": "left out: inferred when only one fits",
    "data": "a file, or {train: …, dev: …, test: …}; dev and test are split off when absent",
    "columns": "which column plays which role",
    "metric": "higher is better",
    "margin": "quality that one would give up for a cheaper setup",
    "methods": "all: every one that can run; left out: the few that usually win",
    "max_length": "tokens at which inputs are cut",
    "rows": "at most so many rows of each split",
    "splits": "which share of the rows is split off",
    "group": "rows of equal value in this column go to one split",
    "time": "the rows of the latest times in this column are dev and test",
    "skip_bad_rows": "leave out, and tell, rows that cannot be used",
}


def commented_yaml(fields: Mapping[str, Any]) -> str:
    """One line a field, with its comment."""
    return "".join(f"{_field(name, value)}  # {COMMENTS[name]}\n" for name, value in fields.items())


def _field(name: str, value: Any) -> str:
    """`name: value` as YAML; lists and mappings within one pair of brackets."""
    if isinstance(value, dict | list):
        return f"{name}: {_dump(value, flow=True)}"
    return _dump({name: value}, flow=False)


def _dump(value: Any, flow: bool) -> str:
    def dump(allow_unicode: bool) -> str:
        return str(
            yaml.safe_dump(value, default_flow_style=flow, allow_unicode=allow_unicode, width=10**9, sort_keys=False)
        ).rstrip("\n")

    # PyYAML writes exotic line breaks (U+0085) as they are and reads them back as others: escape what is not printable
    text = dump(allow_unicode=True)
    return text if one_line(text) == text else dump(allow_unicode=False)
