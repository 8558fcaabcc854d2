"""What a cell of a data file has to hold: a text, a label, or a list of them."""

from __future__ import annotations

import math
from typing import Any

from peftcost.errors import UserError


def text_of(value: Any, where: str) -> str:
    """A text with something in it. where: file, row and column, for the message."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        raise UserError(f"{where}: the text is missing; fill it in or remove the row.")
    if not isinstance(value, str):
        raise UserError(f"{where}: expected a text, but got {value!r} ({type(value).__name__}); write it in quotes.")
    if not value.strip():
        raise UserError(f"{where}: the text is empty; fill it in or remove the row.")
    return _whole_characters(value, where)


def label_of(value: Any, where: str) -> str:
    """A label as a string: 1 and 1.0 (as pandas writes whole numbers beside gaps) are "1", true is "True"."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        raise UserError(f"{where}: the label is missing; fill it in or remove the row.")
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, str | int | float):
        raise UserError(f"{where}: expected one label, but got {value!r} ({type(value).__name__}).")
    label = str(value).strip()
    if not label or label in ("nan", "NaN"):
        raise UserError(f"{where}: the label is {'missing' if label else 'empty'}; fill it in or remove the row.")
    return _whole_characters(label, where)


def list_of(value: Any, where: str) -> list[Any]:
    """A list as it is, or a string cut at its spaces; not empty."""
    items = [part for part in value.split(" ") if part.strip()] if isinstance(value, str) else value
    if not isinstance(items, list):
        raise UserError(f"{where}: expected a list or words with spaces between, but got {value!r}.")
    if not items:
        raise UserError(f"{where}: is empty; fill it in or remove the row.")
    return items


def _whole_characters(text: str, where: str) -> str:
    """The text, unless JSON's \\u escapes left half of a surrogate pair in it, which no tokenizer takes."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UserError(
            f"{where}: holds half of a surrogate pair (\\u{ord(text[error.start]):x}), which is no character; write it again."
        ) from error
    return text
