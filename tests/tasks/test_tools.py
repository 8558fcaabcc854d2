"""Conversations in which tools are described and called."""

from __future__ import annotations

import json
from typing import Any

import pytest
from conftest import CHAT_TEMPLATE, byte_tokenizer
from conversing import KIND, TALK, counted, encoded, table, whole

from peftcost.errors import UserError
from peftcost.task.columns import guess_columns

CALL = {
    "role": "assistant",
    "content": None,
    "tool_calls": [{"id": "1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}],
}
ASKING = [{"role": "user", "content": "1 and?"}, CALL, {"role": "tool", "tool_call_id": "1", "content": "3"}]
WRITES_CALLS = (
    "{% for m in messages %}{{ '<|' + m['role'] + '|>\n' }}"
    "{% if loop.last and m['role'] == thinks %}{{ '<think>' }}{% endif %}"
    "{{ m['content'] }}{% for call in m.tool_calls or [] %}"
    "{{ '<call>' + call.function.name + ARGUMENTS + '</call>' }}{% endfor %}"
    "{{ '<|end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
)
AS_OBJECT = WRITES_CALLS.replace("ARGUMENTS", "(call.function.arguments | tojson)")
AS_JSON = WRITES_CALLS.replace("ARGUMENTS", "call.function.arguments")


@pytest.mark.parametrize("template", [AS_OBJECT, AS_JSON])
def test_calls_of_tools_are_written_as_the_template_does_and_count(template: str) -> None:
    split = encoded({"messages": [*ASKING, TALK[4]]}, template)
    assert counted(split) == '<call>add{"a": 1}</call><|end|>|More. Hi<|end|>'
    assert "<|tool|>\n3<|end|>" in whole(split)
    assert counted(encoded({"messages": ASKING[:2]}, template)) == '<call>add{"a": 1}</call><|end|>'
    without_content = {key: value for key, value in CALL.items() if key != "content"}
    rows = table({"messages": [ASKING[0], without_content, ASKING[2]]})
    assert guess_columns(rows, None)[1] == {"messages": "messages"}
    told = KIND.encode(byte_tokenizer(template), KIND.read(rows, {"messages": "messages"}, labelled=False), None, 200)
    assert whole(told).endswith('<call>add{"a": 1}</call><|end|>\n<|tool|>\n3<|end|>\n<|assistant|>\n')


ADD = {"name": "add", "description": "Adds.", "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}}}
DESCRIBES = "{% for tool in tools or [] %}{{ tool | tojson }}\n{% endfor %}" + AS_OBJECT


@pytest.mark.parametrize("tools", [[ADD], json.dumps([ADD]), [{"type": "function", "function": ADD}], ADD])
def test_tools_are_told_to_the_template_and_do_not_count(tools: Any) -> None:
    row = {"messages": [*ASKING, TALK[4]], "tools": tools}
    assert guess_columns(table(row), None)[1] == {"tools": "tools", "messages": "messages"}
    split = encoded(row, DESCRIBES, 400)
    assert whole(split).startswith(json.dumps({"type": "function", "function": ADD}) + "\n<|user|>\n1 and?")
    assert counted(split) == '<call>add{"a": 1}</call><|end|>|More. Hi<|end|>'
    asks = KIND.read(table({"messages": ASKING, "tools": tools}), {"tools": "tools", "messages": "messages"}, labelled=False)
    assert whole(KIND.encode(byte_tokenizer(DESCRIBES), asks, None, 400)).startswith('{"type": "function"')


@pytest.mark.parametrize("content", [{}, {"content": None}])
def test_a_call_as_openai_first_had_it_is_a_call(content: dict[str, Any]) -> None:
    asks = {"role": "assistant", "function_call": {"name": "add", "arguments": '{"a": 1}'}, **content}
    answers = {"role": "function", "name": "add", "content": "2"}
    said = [{"role": "user", "content": "1?"}, asks, answers]
    assert guess_columns(table({"messages": said}), None)[1] == {"messages": "messages"}
    assert counted(encoded({"messages": said}, AS_OBJECT)) == '<call>add{"a": 1}</call><|end|>'


def test_keys_that_parquet_gave_a_row_are_not_told_to_the_template() -> None:
    call = {"function": {"name": "add", "arguments": {"a": 1, "symbol": None, "more": [{"b": None, "c": 2}]}}}
    said = [{"role": "user", "content": "1?"}, {"role": "assistant", "content": "", "tool_calls": [call]}]
    assert counted(encoded({"messages": said}, AS_OBJECT)) == '<call>add{"a": 1, "more": [{"c": 2}]}</call><|end|>'
    tool = {"function": {"name": "add", "description": None, "parameters": {"a": {"type": "integer", "enum": None}}}}
    shown = whole(encoded({"messages": TALK, "tools": [tool]}, DESCRIBES, 400))
    assert shown.startswith('{"type": "function", "function": {"name": "add", "parameters": {"a": {"type": "integer"}}}}\n')


def test_parts_of_a_turn_are_one_text_and_others_are_named() -> None:
    parts = [{"type": "text", "text": "Hi"}, {"type": "text", "text": "there"}]
    reply = {"role": "assistant", "content": "Bye"}
    joined = {"messages": [{"role": "user", "content": "Hi\nthere"}, reply]}
    assert whole(encoded({"messages": [{"role": "user", "content": parts}, reply]})) == whole(encoded(joined))
    shown = [*parts, {"type": "image_url", "image_url": {"url": "data:,"}}]
    with pytest.raises(UserError, match="turn 1: a part of the turn is image_url, and only texts are learnt"):
        encoded({"messages": [{"role": "user", "content": shown}, reply]})


@pytest.mark.parametrize("nothing", [None, "", "[]", []])
def test_a_row_may_have_no_tools(nothing: Any) -> None:
    row = {"messages": TALK, "tools": nothing}
    assert whole(encoded(row)) == whole(encoded({"messages": TALK}))


@pytest.mark.parametrize("template", [CHAT_TEMPLATE, None])
@pytest.mark.parametrize("row", [{"messages": TALK, "tools": [ADD]}, {"prompt": "Hi", "completion": "Bye", "tools": [ADD]}])
def test_a_template_that_does_not_write_tools_is_told(row: dict[str, Any], template: str | None) -> None:
    with pytest.raises(UserError, match=r"line 1: the model has no chat template that writes `tools`"):
        encoded(row, template)


def test_tools_that_are_none_are_told_with_row_and_column() -> None:
    with pytest.raises(UserError, match=r"line 1, column 'tools': expected .*name, description, parameters"):
        encoded({"messages": TALK, "tools": [{"title": "add"}]})


def test_a_call_counts_where_the_template_writes_the_last_turn_in_another_way() -> None:
    split = encoded({"messages": [*ASKING, TALK[4]]}, "{% set thinks = 'assistant' %}" + AS_OBJECT)
    assert counted(split) == '<call>add{"a": 1}</call>|<think>More. Hi<|end|>'


@pytest.mark.parametrize("template", [CHAT_TEMPLATE, None])
def test_a_template_that_does_not_write_calls_is_told_with_row_and_key(template: str | None) -> None:
    with pytest.raises(UserError, match=r"line 1, turn 2, tool_calls"):
        encoded({"messages": [*ASKING, TALK[4]]}, template)
    asks = KIND.read(table({"messages": ASKING}), {"messages": "messages"}, labelled=False)
    with pytest.raises(UserError, match=r"line 1, turn 2, tool_calls"):
        KIND.encode(byte_tokenizer(template), asks, None, 200)


def test_calls_tell_conversations_apart_and_are_no_text_to_write() -> None:
    other = json.loads(json.dumps(ASKING).replace("add", "sub"))
    rows = table({"messages": [*ASKING, TALK[4]]}, {"messages": [*other, TALK[4]]}, {"messages": ASKING[:2]})
    first, second, third = KIND.read(rows, {"messages": "messages"})
    assert KIND.content(first) != KIND.content(second)
    assert (KIND.reference(first), KIND.reference(third)) == ("More. Hi", None)
