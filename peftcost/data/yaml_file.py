"""Reads YAML without its traps: keys that stand twice are refused, 1e-4 is a number, yes and no are words."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from peftcost.data.text import read_text
from peftcost.errors import UserError


class _Loader(yaml.SafeLoader):
    """The safe loader, stricter."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys: set[Any] = set()
        for key_node, _ in node.value:
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else id(key_node)
            if key in keys:
                problem = f"the field {key!r} stands twice"
                raise yaml.constructor.ConstructorError(None, None, problem, key_node.start_mark)
            keys.add(key)
        return super().construct_mapping(node, deep)


_DROPPED = ("tag:yaml.org,2002:bool", "tag:yaml.org,2002:float", "tag:yaml.org,2002:timestamp")
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in _DROPPED]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|false|False)$"), list("tTfF"))
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",  # YAML 1.2's, which takes 1e-4 where YAML 1.1 wants 1.0e-4
    re.compile(r"^[-+]?(?:(?:\.[0-9]+|[0-9]+\.[0-9]*)(?:[eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+)$|^[-+]?\.(?:inf|nan)$"),
    list("-+0123456789."),
)


def problems_of(error: ValidationError) -> str:
    """What pydantic found wrong, field by field, on one line."""
    return "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg'].removeprefix('Value error, ')}" for e in error.errors())


def read_yaml(path: Path) -> dict[str, Any]:
    """The fields of a YAML file; UserError with file and line when it is no YAML or no list of fields."""
    try:
        content = yaml.load(read_text(path), _Loader)
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark is not None else ""
        problem = getattr(error, "problem", None) or " ".join(str(error).split())
        raise UserError(f"{path}{line}: {problem}; correct the YAML there.") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} holds no fields; it needs lines such as `data: reviews.csv`.")
    return content
