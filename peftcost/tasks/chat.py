"""Conversations as tokens, with a mark on those that the loss counts: what the assistant says, to the end of its turn.

By the tokenizer's chat template where it has one. Which part of the text an assistant's turn is, is found by rendering the
conversation up to it and with it; so templates need no marks of their own.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from peftcost.errors import UserError
from peftcost.tasks.conversations import TOOLS, WEIGHT, Turn, called, described, is_learnt

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Coded = tuple[list[int], list[bool]]
"""Token ids, and for each whether the loss counts it."""
Span = tuple[int, int]
"""First character, the one after the last."""
SPEAKERS = {"system": "System: ", "user": "User: ", "assistant": "Assistant: ", "tool": "Tool: "}
"""Before a turn, where there is no template."""
STAND_IN = "@a stand-in@"
"""What no conversation says."""
CONTEXT = 4
"""What is cut keeps the last 1/CONTEXT of its tokens before the last reply, where there are so many."""


def coded_conversation(tokenizer: PreTrainedTokenizerBase, turns: Sequence[Turn], place: str) -> Coded:
    """A conversation by the tokenizer's chat template. UserError where the template cannot render it."""
    text = rendered(tokenizer, turns, False, place)
    spans = reply_spans(tokenizer, turns, text, place)
    if not tokenizer.is_fast:
        return _coded_in_pieces(tokenizer, text, spans)
    coded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    starts = [start for start, _ in coded["offset_mapping"]]
    return list(coded["input_ids"]), [any(a <= start < b for a, b in spans) for start in starts]


def coded_prompt(tokenizer: PreTrainedTokenizerBase, turns: Sequence[Turn], place: str) -> list[int]:
    """The conversation up to where the assistant speaks."""
    text = rendered(tokenizer, turns, True, place)
    for i, turn in enumerate(turns):
        if not all(name in text for name in called(turn)):
            raise _without_calls(i, place)
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def rendered(tokenizer: PreTrainedTokenizerBase, turns: Sequence[Turn], asks: bool, place: str) -> str:
    """The conversation as the template writes it. asks: with the beginning of the assistant's next turn.

    Most templates take what tools are called with as an object, some as JSON. UserError where the template takes neither, or
    does not write the tools that are described.
    """
    tools: list[Any] = described(turns)
    said = [{key: turn[key] for key in turn if key != WEIGHT} for turn in turns if turn["role"] != TOOLS]
    as_json = [_with_json(turn) for turn in said]
    problems: list[Exception] = []
    for way in [said, as_json] if as_json != said else [said]:
        try:
            text = str(tokenizer.apply_chat_template(way, tools=tools or None, tokenize=False, add_generation_prompt=asks))
        except Exception as error:  # whatever the template raises
            problems.append(error)
            continue
        if not all(tool["function"]["name"] in text for tool in tools):
            raise _without_tools(place)
        return text
    roles = ", ".join(turn["role"] for turn in said)
    raise UserError(
        f"{place}: the model's chat template does not take these turns ({roles}): {problems[0]}; correct or remove the row."
    ) from problems[0]


def _with_json(turn: Turn) -> Turn:
    """The turn with the arguments of its calls as JSON."""
    if "tool_calls" not in turn:
        return turn

    def written(given: Any) -> str:
        return given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)

    return {
        **turn,
        "tool_calls": [
            {**call, "function": {**call["function"], "arguments": written(call["function"]["arguments"])}}
            for call in turn["tool_calls"]
        ],
    }


def _without_calls(i: int, place: str) -> UserError:
    return UserError(
        f"{place}, turn {i + 1}, tool_calls: the model has no chat template that writes them where the turn stands; give a "
        "model that has one, or remove the row."
    )


def _without_tools(place: str) -> UserError:
    return UserError(
        f"{place}: the model has no chat template that writes `tools`; give a model that has one, or remove or rename the "
        "column."
    )


def check_no_tools(turns: Sequence[Turn], place: str) -> None:
    """UserError where tools are described, for a model without a template."""
    if described(turns):
        raise _without_tools(place)


def reply_spans(tokenizer: PreTrainedTokenizerBase, turns: Sequence[Turn], text: str, place: str) -> list[Span]:
    """Where in the rendered text each reply that is to be learnt stands, with what ends it and without spaces behind."""
    found, since = [], 0
    for i, turn in enumerate(turns):
        if turn["role"] != "assistant":
            continue
        start, end = (
            _by_prefixes(tokenizer, turns, i, text, place)
            or ("tool_calls" in turn and _by_stand_in(tokenizer, turns, i, text, place))
            or _by_search(turn["content"], text, since)
        )
        if not all(name in text[start:end] for name in called(turn)):
            raise _without_calls(i, place)
        if turn["content"].strip() not in text[start:end]:
            raise UserError(
                f"{place}: the model's chat template does not write turn {i + 1} as it stands, so it is not known which "
                "tokens it is to learn; give the row as prompt and completion."
            )
        since = end
        if is_learnt(turn):
            found.append((start, start + len(text[start:end].rstrip())))
    return found


def _by_prefixes(tokenizer: PreTrainedTokenizerBase, turns: Sequence[Turn], i: int, text: str, place: str) -> Span | None:
    """By what the conversation is before the turn and after it; None where the template writes these otherwise."""
    try:
        before, through = rendered(tokenizer, turns[:i], True, place), rendered(tokenizer, turns[: i + 1], False, place)
    except UserError:
        return None
    good = text.startswith(before) and text.startswith(through) and len(before) < len(through)
    return (len(before), len(through)) if good else None


def _by_stand_in(tokenizer: PreTrainedTokenizerBase, turns: Sequence[Turn], i: int, text: str, place: str) -> Span | None:
    """By what the conversation is with another text in place of the turn; None where the template writes that otherwise."""
    other = [*turns[:i], {"role": "assistant", "content": STAND_IN}, *turns[i + 1 :]]
    try:
        before, _, behind = rendered(tokenizer, other, False, place).partition(STAND_IN)
    except UserError:
        return None
    good = text.startswith(before) and text.endswith(behind) and len(before) + len(behind) < len(text)
    return (len(before), len(text) - len(behind)) if good else None


def _by_search(content: str, text: str, since: int) -> Span:
    """By the words of the turn; an empty span where they do not stand there."""
    start = text.find(content.strip(), since)
    return (start, start + len(content.strip())) if start >= 0 else (since, since)


def _coded_in_pieces(tokenizer: PreTrainedTokenizerBase, text: str, spans: Sequence[Span]) -> Coded:
    """For tokenizers that do not say where a token stands."""
    edges = [0, *(edge for span in spans for edge in span), len(text)]
    pieces = [(text[a:b], i % 2 == 1) for i, (a, b) in enumerate(zip(edges, edges[1:], strict=False))]
    return coded_pieces(tokenizer, pieces)


def coded_pieces(tokenizer: PreTrainedTokenizerBase, pieces: Sequence[tuple[str, bool]], ends: bool = False) -> Coded:
    """Texts one behind the other, each with whether it counts. ends: what counts is followed by the tokenizer's end token."""
    ids: list[int] = []
    counted: list[bool] = []
    for text, counts in pieces:
        own = list(tokenizer(text, add_special_tokens=False)["input_ids"]) if text else []
        if ends and counts and tokenizer.eos_token_id is not None:
            own.append(int(tokenizer.eos_token_id))
        ids += own
        counted += [counts] * len(own)
    return ids, counted


def plain_turns(turns: Sequence[Turn], place: str) -> list[tuple[str, bool]]:
    """Pieces of a conversation without a template. UserError where tools are called."""
    pieces: list[tuple[str, bool]] = []
    for i, turn in enumerate(turns):
        if "tool_calls" in turn:
            raise _without_calls(i, place)
        pieces += [(SPEAKERS[turn["role"]], False), (turn["content"], is_learnt(turn)), ("\n", False)]
    return pieces


def end_tokens(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """The tokens that end what the assistant says: the tokenizer's end token, and what its template closes a turn with."""
    found = [] if tokenizer.eos_token_id is None else [int(tokenizer.eos_token_id)]
    if tokenizer.chat_template:
        talk = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
        text = rendered(tokenizer, talk, False, "a trial").rstrip()
        last = tokenizer(text, add_special_tokens=False)["input_ids"][-1]
        found += [last] if last in tokenizer.all_special_ids and last not in found else []
    return found


def cut(coded: Coded, max_length: int) -> Coded:
    """At most max_length tokens, with at least one that counts wherever one did.

    What stands behind the last reply goes first, then the conversation's beginning, then the end of a reply that is longer
    than what is left beside a little of what precedes it. The first token never counts: nothing precedes it.
    """
    ids, counted = coded
    counted = [False, *counted[1:]]
    ends = max((i + 1 for i, counts in enumerate(counted) if counts), default=0)
    if not ends:
        return ids[:max_length], counted[:max_length]
    if ends <= max_length:
        return ids[:ends], counted[:ends]
    reply = ends
    while reply and counted[reply - 1]:
        reply -= 1
    start = max(0, min(ends - max_length, reply - max(1, max_length // CONTEXT)))
    ids, counted = ids[start : start + max_length], counted[start : start + max_length]
    return ids, [False, *counted[1:]]
