"""Conversations as data files hold them: OpenAI's messages, ShareGPT's, or a prompt alone."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from peftcost.data.cells import LOOKED_AT, is_blank, is_missing, list_from_text, text_of
from peftcost.data.guess import is_conversation, is_turn
from peftcost.data.table import Table
from peftcost.errors import UserError

Turn = dict[str, Any]
"""role (system, user, assistant or tool) and content, a text; an assistant's may have tool_calls, a tool's its name and
tool_call_id. A turn that calls tools, and one of the system or a tool, may say nothing: then its content is empty."""
OF_TOOLS = ("tool_call_id", "name")
CALLS = ("function_call", "tool_calls")
"""What an assistant's calls of tools are called: one call, as OpenAI had it first, or a list."""
WHO, SAID = ("role", "from", "speaker"), ("content", "value", "text")
"""What a turn calls its speaker and its text."""
WEIGHT = "weight"
"""0 for what an assistant said that is not to be learnt, as OpenAI's files have it; else there is none."""
LEARNT = ("train", "training", "trainable")
"""What other programs call a mark on turns that is false for those that are not to be learnt."""
THOUGHTS = ("reasoning_content", "reasoning", "thinking")
"""What an assistant thinks beside what it says, which few chat templates write."""
TOOLS = "tools"
"""The role of a turn before all others whose content describes the tools that may be called, in JSON."""
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
    "ai": "assistant",
    "tool": "tool",
    "function": "tool",
}
"""What data sets call whoever speaks, and what chat templates do."""


def turns_of(value: Any, where: str) -> list[Turn]:
    """The turns of a conversation: a list of {role, content}, {from, value} or {speaker, text}, or JSON that writes one.
    where: file, row and column, for the message."""
    if is_missing(value):
        raise UserError(f"{where}: the conversation is missing; fill it in or remove the row.")
    items = _turns_in(value)
    if not isinstance(items, list) or not items:
        raise UserError(
            f"{where}: expected a list of turns as {{role: user, content: …}}, but got {_shown(value)}; correct or remove "
            "the row."
        )
    return [_turn(item, f"{where}, turn {i}") for i, item in enumerate(items, start=1)]


def holds_turns(value: Any) -> bool:
    """Whether a cell looks like a conversation."""
    return is_conversation(_turns_in(value))


def holds_conversations(table: Table, column: str) -> bool:
    """Whether of the first cells that are there at least half are conversations: one that is odd is told by its row."""
    there = [cell for row in table.rows[:LOOKED_AT] if not is_blank(cell := row.get(column))]
    found = sum(map(holds_turns, there))
    return found > 0 and 2 * found >= len(there)


def is_learnt(turn: Turn) -> bool:
    """Whether a turn is a reply that is to be learnt."""
    return bool(turn["role"] == "assistant" and turn.get(WEIGHT) != 0)


def not_learnt(turns: Sequence[Turn]) -> list[Turn]:
    """The turns, of which none is to be learnt: a prompt's."""
    return [{**turn, WEIGHT: 0} if turn["role"] == "assistant" else turn for turn in turns]


def last_reply(turns: Sequence[Turn]) -> int | None:
    """The place of the last reply that is to be learnt; None where there is none."""
    return max((i for i, turn in enumerate(turns) if is_learnt(turn)), default=None)


def words_of(turn: Turn) -> str:
    """All that a turn says: its text, and the tools that it calls."""
    calls = turn.get("tool_calls")
    return turn["content"] if calls is None else f"{turn['content']}\n{json.dumps(calls, ensure_ascii=False)}"


def called(turn: Turn) -> list[str]:
    """The names of the tools that a turn calls."""
    return [call["function"]["name"] for call in turn.get("tool_calls", [])]


def described(turns: Sequence[Turn]) -> list[dict[str, Any]]:
    """The tools that may be called in a conversation, as chat templates take them; none where it has no such turn."""
    return [tool for turn in turns if turn["role"] == TOOLS for tool in json.loads(turn["content"])]


def tools_turn(value: Any, where: str) -> Turn | None:
    """Of a cell that describes tools: a list of functions of a name, a description and parameters, each alone or under
    `function`, or JSON that writes one. None of an empty one."""
    tools = [] if is_blank(value) else _parsed(value)
    found = []
    for tool in tools if isinstance(tools, list) else [tools]:
        function = tool.get("function", tool) if isinstance(tool, Mapping) else None
        if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
            raise UserError(f"{where}: expected [{{function: {{name, description, parameters}}}}], but got {_shown(tool)}.")
        found.append({"type": "function", "function": dict(function)})
    found = found if isinstance(value, str) else without_nothing(found)
    return {"role": TOOLS, "content": json.dumps(found, ensure_ascii=False)} if found else None


def _turn(item: Any, where: str) -> Turn:
    if not is_turn(item):
        raise UserError(f"{where}: expected {{role, content}}, {{from, value}} or {{speaker, text}}, but got {_shown(item)}.")
    speaker, content = (next((item[key] for key in keys if item.get(key) is not None), None) for keys in (WHO, SAID))
    role = ROLES.get(str(speaker).strip().lower())
    if role is None:
        raise UserError(f"{where}: nobody is called {speaker!r}; the roles are {', '.join(ROLES)}.")
    more = {key: item[key] for key in OF_TOOLS if role == "tool" and item.get(key)}
    for key in CALLS:
        if role == "assistant" and (calls := _parsed(item.get(key))):
            more["tool_calls"] = _calls(calls, f"{where}, {key}")
    if role == "assistant" and _is_left_out(item, where):
        more[WEIGHT] = 0
    if role == "assistant" and (thoughts := next((key for key in THOUGHTS if not is_blank(item.get(key))), None)):
        raise UserError(
            f"{where}, {thoughts}: is not learnt; write it into the content as the model's own replies have it "
            "(<think>…</think>), or remove it."
        )
    said = _joined(content, where)
    nothing = is_blank(said)
    silent = nothing and (role in ("system", "tool") or "tool_calls" in more)
    return {"role": role, "content": "" if silent else text_of(said, where), **more}


def _is_left_out(item: Mapping[str, Any], where: str) -> bool:
    """Whether a turn is marked as none to be learnt: `weight: 0`, or `train: false`."""
    weight = item.get(WEIGHT)
    if str(weight) not in ("None", "0", "1", "0.0", "1.0"):
        raise UserError(f"{where}, {WEIGHT}: expected 0 (not to be learnt) or 1, but got {weight!r}.")
    return str(weight) in ("0", "0.0") or any(item.get(key) is False for key in LEARNT)


def _calls(calls: Any, where: str) -> list[dict[str, Any]]:
    """Calls of tools in transformers' form: a function of a name and arguments, which are an object also where JSON writes
    it."""
    found = []
    for call in calls if isinstance(calls, list) else [calls]:
        function = call.get("function") or call if isinstance(call, Mapping) else None
        if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
            raise UserError(f"{where}: expected {{function: {{name, arguments}}}}, but got {_shown(call)}.")
        more = {key: call[key] for key in call if key not in ("function", "name", "arguments") and call[key] is not None}
        arguments = function.get("arguments") or {}
        arguments = _parsed(arguments) if isinstance(arguments, str) else without_nothing(arguments)
        found.append({"type": "function", **more, "function": {"name": function["name"], "arguments": arguments}})
    return found


def without_nothing(value: Any) -> Any:
    """Without keys whose value is nothing: Parquet gives each row the keys of all others."""
    if isinstance(value, Mapping):
        return {key: without_nothing(one) for key, one in value.items() if one is not None}
    return [without_nothing(one) for one in value] if isinstance(value, list) else value


def _turns_in(value: Any) -> Any:
    """The turns that a cell holds, also under `messages`, as in a request to OpenAI's interface."""
    parsed = _parsed(value)
    return parsed["messages"] if isinstance(parsed, Mapping) and "messages" in parsed else parsed


def _joined(content: Any, where: str) -> Any:
    """The text of a content that is a list of parts, as OpenAI has it; others as they are."""
    if not (isinstance(content, list) and content and all(isinstance(part, Mapping) for part in content)):
        return content
    other = next((part for part in content if not isinstance(part.get("text"), str)), None)
    if other is not None:
        kind = other.get("type") or ", ".join(map(str, other))
        raise UserError(f"{where}: a part of the turn is {kind}, and only texts are learnt; remove the part or the row.")
    return "\n".join(part["text"] for part in content)


def _parsed(value: Any) -> Any:
    if isinstance(value, str) and value.strip().startswith(("[", "{")):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            written = list_from_text(value)  # as Python writes it
            return value if written is None else written
    return value


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}…"
