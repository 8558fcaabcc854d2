"""Escapes texts of users in Markdown."""

from __future__ import annotations

import re

from markupsafe import Markup


def escape_markdown(value: object) -> str:
    """A text that cannot break out of its line or table cell, nor bring markup, formulas or HTML with it."""
    if isinstance(value, Markup):
        return str(value)
    flat = " ".join(str(value).split())
    flat = flat.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    flat = re.sub(r"(?<=\w)_(?=\w)|([\\`*_\[\]|~$])", lambda m: f"\\{m[1]}" if m[1] else m[0], flat)
    return re.sub(r"^(?:([#+-])|(\d+)([.)])(?=\s|$))", lambda m: f"\\{m[1]}" if m[1] else f"{m[2]}\\{m[3]}", flat)
