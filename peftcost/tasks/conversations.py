"""Conversations as data files hold them: OpenAI's messages, ShareGPT's, or a prompt alone."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from peftcost.data.cells import is_missing, text_of
from peftcost.errors import UserError

Turn = dict[str, str]
"""role (system, user, assistant or tool) and content."""
ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "model": "assistant",
    "bot": "assistant",
    "tool": "tool",
    "function": "tool",
}
"""What data sets call whoever speaks, and what chat templates do."""


def turns_of(value: Any, where: str) -> list[Turn]:
    """The turns of a conversation: a list of {role, content} or {from, value}, or JSON that writes one. where: file, row and
    column, for the message."""
    if is_missing(value):
        raise UserError(f"{where}: the conversation is missing; fill it in or remove the row.")
    items = _parsed(value)
    if not isinstance(items, list) or not items:
        raise UserError(f"{where}: expected a list of turns as {{role: user, content: …}}, but got {_shown(value)}.")
    return [_turn(item, f"{where}, turn {i}") for i, item in enumerate(items, start=1)]


def holds_turns(value: Any) -> bool:
    """Whether a cell looks like a conversation."""
    items = _parsed(value)
    known = ({"role", "content"}, {"from", "value"})
    return (
        isinstance(items, list)
        and bool(items)
        and all(isinstance(i, Mapping) and any(k <= i.keys() for k in known) for i in items)
    )


def last_reply(turns: Sequence[Turn]) -> int | None:
    """The place of the assistant's last turn; None where it has none."""
    return max((i for i, turn in enumerate(turns) if turn["role"] == "assistant"), default=None)


def _turn(item: Any, where: str) -> Turn:
    if not isinstance(item, Mapping) or not ({"role", "content"} <= item.keys() or {"from", "value"} <= item.keys()):
        raise UserError(f"{where}: expected {{role, content}} or {{from, value}}, but got {_shown(item)}.")
    speaker, content = (item["role"], item["content"]) if "role" in item else (item["from"], item["value"])
    role = ROLES.get(str(speaker).strip().lower())
    if role is None:
        raise UserError(f"{where}: nobody is called {speaker!r}; the roles are {', '.join(ROLES)}.")
    return {"role": role, "content": text_of(_joined(content), where)}


def _joined(content: Any) -> Any:
    """The text of a content that is a list of parts, as OpenAI has it; others as they are."""
    if isinstance(content, list) and all(isinstance(part, Mapping) and isinstance(part.get("text"), str) for part in content):
        return "\n".join(part["text"] for part in content)
    return content


def _parsed(value: Any) -> Any:
    if isinstance(value, str) and value.strip().startswith("["):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}…"
