"""Conversations, and how they are coded for a causal language model: which tokens count, by their text."""

from __future__ import annotations

from typing import Any

from conftest import CHAT_TEMPLATE, byte_tokenizer

from peftcost.data.features import Split
from peftcost.data.table import Table
from peftcost.task.columns import fit_columns
from peftcost.tasks import get_task_type
from peftcost.tasks.base import IGNORED
from peftcost.tasks.targets import Tokens

KIND = get_task_type("causal-lm")
TALK = [
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello!"},
    {"role": "user", "content": "And?"},
    {"role": "assistant", "content": "More. Hi"},
]


def table(*rows: dict[str, Any]) -> Table:
    return Table("data.jsonl", list(rows[0]), list(rows), list(range(1, len(rows) + 1)))


def encoded(row: dict[str, Any], template: str | None = CHAT_TEMPLATE, max_length: int = 200) -> Split:
    columns = fit_columns(table(row), "causal-lm", None)[1]
    examples = KIND.read(table(row), columns)
    return KIND.encode(byte_tokenizer(template), examples, Tokens(), max_length)


def counted(split: Split, i: int = 0) -> str:
    """What counts, with | between what does not stand together."""
    wanted, text = split.columns["targets"][i], ""
    for position, token in enumerate(wanted):
        if token != IGNORED:
            gap = position > 0 and wanted[position - 1] == IGNORED and text
            text += ("|" if gap else "") + byte_tokenizer(None).decode([token])
    return text


def whole(split: Split, i: int = 0) -> str:
    return byte_tokenizer(None).decode(split.columns["input_ids"][i])
