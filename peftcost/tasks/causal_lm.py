"""Causal language models: what to say next, of prompts with completions, conversations, instructions or plain texts."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from peftcost.data.cells import LOOKED_AT, is_blank, text_of
from peftcost.data.features import Column, Split, padded, ragged
from peftcost.data.guess import LABEL_NAMES, TEXT_NAMES, holds
from peftcost.data.readers.marked import told_of_tags
from peftcost.data.table import Table
from peftcost.errors import UserError
from peftcost.tasks.base import IGNORED, Example
from peftcost.tasks.batch import Batch
from peftcost.tasks.chat import Coded, check_no_tools, coded_conversation, coded_pieces, coded_prompt, cut, plain_turns
from peftcost.tasks.conversations import (
    TOOLS,
    Turn,
    holds_conversations,
    holds_turns,
    last_reply,
    not_learnt,
    tools_turn,
    turns_of,
    words_of,
)
from peftcost.tasks.preferences import check_no_preferences, check_no_verdicts
from peftcost.tasks.targets import Targets
from peftcost.tasks.text_inputs import aligned, in_chunks, lengths_of
from peftcost.tasks.writing import INPUTS, PROMPTS, WritesText, counted_targets, prompts_and_completions

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

SYSTEMS = ("system", "system_prompt")
"""What files call the column of what a system turn says."""
CONVERSATIONS = ("messages", "conversations", "conversation", "dialog", "dialogue", "turns", "chat")
FORM = "form"
"""What an example is beside prompt and completion: a pair, an instruction, a chat or a plain text."""


class CausalLM(WritesText):
    """Rows for the metrics: (summed loss, tokens, right tokens) of an example's counted tokens.

    An example's prompt is the turns before the last reply, its completion that reply. Every reply of a conversation counts,
    and every token of a plain text. A pretrained head predicts the tokens, so nothing is fresh.
    """

    name = "causal-lm"
    auto_model = "AutoModelForCausalLM"
    pipeline_tag = "text-generation"
    precedence = 10
    default_model = "builtin:smollm2"
    keeps_places = True
    measured = "a row, prompt and completion together"

    @property
    def shapes(self) -> tuple[tuple[str, ...], ...]:
        spoken = (("prompt", "completion"), ("messages",), ("instruction", "input", "output"), ("instruction", "output"))
        before = (("tools", "system"), ("tools",), ("system",), ())
        return (*((*first, *roles) for roles in spoken for first in before), ("text",))

    def inputs_of_shape(self, shape: Collection[str]) -> tuple[str, ...]:
        return tuple(role for role in shape if role not in ("completion", "output"))

    def guess_columns(self, table: Table, label: str | None) -> dict[str, str] | None:
        if label is not None or (found := self._spoken(table)) is None:
            return None
        system = next((n for n in table.columns if n.lower() in SYSTEMS and holds(table, n, str)), None)
        tools = next((n for n in table.columns if n.lower() == TOOLS), None)
        before = {role: name for role, name in ((TOOLS, tools), ("system", system)) if name is not None}
        return found if "text" in found else {**before, **found}

    def _spoken(self, table: Table) -> dict[str, str] | None:
        names = {name.lower(): name for name in table.columns}
        labelled = bool(set(names) & set(LABEL_NAMES))
        if not (labelled and set(names) & set(TEXT_NAMES)):  # a text with its class may have a conversation beside
            for name in table.columns:
                if name.lower() in CONVERSATIONS and holds_conversations(table, name):
                    check_no_verdicts(table, self.name, name)
                    return {"messages": name}
        if labelled:
            return None
        if instruction := _instruction_columns(names):
            return instruction
        prompt, completion = prompts_and_completions(table)
        if prompt is not None and completion is not None:
            return {"prompt": prompt, "completion": completion}
        check_no_preferences(table, self.name, prompt)
        return {"text": names["text"]} if list(names) == ["text"] and holds(table, names["text"], str) else None

    def otherwise(self, table: Table, columns: Mapping[str, Any]) -> str | None:
        cells = [row.get(columns["text"]) for row in table.rows[:LOOKED_AT]] if "text" in columns else []
        told = told_of_tags([cell for cell in cells if isinstance(cell, str)])
        return told and f"{columns['text']!r} {told} for token-classification"

    def read(self, table: Table, columns: Mapping[str, str], labelled: bool = True) -> list[Example]:
        found = []
        for i, row in enumerate(table.rows):
            place = table.place(i)
            cells = {role: row.get(column) for role, column in columns.items()}
            example = self._example(
                cells, {role: f"{place}, column {column!r}" for role, column in columns.items()}, labelled
            )
            found.append({**example, "place": place})
        return found

    def _example(self, cells: Mapping[str, Any], where: Mapping[str, str], labelled: bool) -> Example:
        example, system = self._talk_alone(cells, where, labelled), cells.get("system")
        before = []
        if not is_blank(system):
            turn = {"role": "system", "content": text_of(system, where["system"])}
            before += [turn] if turn not in example["prompt"][:1] else []
        tools = tools_turn(cells.get(TOOLS), where.get(TOOLS, ""))
        return {**example, "prompt": [*([tools] if tools else []), *before, *example["prompt"]]}

    def _talk_alone(self, cells: Mapping[str, Any], where: Mapping[str, str], labelled: bool) -> Example:
        if "messages" in cells:
            return _talk(turns_of(cells["messages"], where["messages"]), where["messages"], labelled)
        if "text" in cells:
            text = text_of(cells["text"], where["text"])
            return {"prompt": [], "completion": text, FORM: "text"} if labelled else {"prompt": _asks(text), FORM: "text"}
        if "instruction" in cells:
            prompt, form, answer = _instruction(cells, where), "instruction", "output"
        elif holds_turns(cells["prompt"]):
            prompt, form, answer = not_learnt(turns_of(cells["prompt"], where["prompt"])), "chat", "completion"
        else:
            prompt, form, answer = _asks(text_of(cells["prompt"], where["prompt"])), "pair", "completion"
        if not labelled:
            return {"prompt": prompt, FORM: form}
        if holds_turns(cells[answer]):
            return _talk([*prompt, *turns_of(cells[answer], where[answer])], where[answer], labelled)
        return {"prompt": prompt, "completion": text_of(cells[answer], where[answer]), FORM: form}

    def content(self, example: Example) -> str:
        turns = example["prompt"] or [reply_of({"completion": "", **example})]
        texts = [words_of(turn) for turn in turns]
        return " ".join(" ".join(texts).split())

    def all_text(self, example: Example) -> str:
        return "\n".join(words_of(turn) for turn in [*example["prompt"], reply_of(example)])

    def encode(
        self, processor: PreTrainedTokenizerBase, examples: Sequence[Example], targets: Targets | None, max_length: int
    ) -> Split:
        """Inputs alone end where the model is to go on; of those that are too long the end is kept."""

        def coded(example: Example) -> Coded:
            if targets is None:
                own = asked(processor, example)[-max_length:]
                return own, [False] * len(own)
            found = cut(told(processor, example), max_length)
            if not any(found[1]):
                raise UserError(
                    f"{example['place']}: of the completion no token is left to learn; correct or remove the row."
                )
            return found

        def columns(rows: slice) -> dict[str, Column]:
            some = list(map(coded, examples[rows]))
            wanted = [[token if counts else IGNORED for token, counts in zip(*one, strict=True)] for one in some]
            return {"input_ids": ragged([ids for ids, _ in some]), "targets": ragged(wanted)}

        found = in_chunks(columns, len(examples))
        return Split(found, lengths_of(found))

    def collate(
        self, split: Split, indices: np.ndarray, padding: Mapping[str, float], max_length: int, width: int = 0
    ) -> Batch:
        """An example that is longer than max_length keeps its end, where its targets are."""
        if (split.lengths[indices] > max_length).any():
            columns = {
                name: ragged([column[i][-max_length:].tolist() for i in indices]) for name, column in split.columns.items()
            }
            split, indices = Split(columns, lengths_of(columns)), np.arange(len(indices))
        batch = super().collate(split, indices, padding, max_length, width)
        kept = (next_tokens(batch) != IGNORED).flatten().nonzero().flatten()
        return replace(batch, kept=kept if len(kept) else None)

    def collate_targets(self, column: Column, indices: np.ndarray, width: int) -> torch.Tensor:
        import torch

        return torch.from_numpy(padded(column, indices, width, IGNORED))

    def target_counts(self, split: Split, max_length: int) -> np.ndarray:
        """Of those at an example's end; nothing precedes the first token."""
        return counted_targets(split, lambda starts, ends: (np.maximum(starts, ends - max_length) + 1, ends))

    def wanted(self, batch: Batch) -> torch.Tensor:
        return next_tokens(batch)

    def spoken(self, logits: torch.Tensor, batch: Batch) -> torch.Tensor:
        return aligned(logits, batch)

    def suits(self, config: Mapping[str, Any]) -> bool:
        return not config.get("is_encoder_decoder")

    def check_encoded(self, split: Split, model: str) -> None:
        from transformers import AutoConfig

        if AutoConfig.from_pretrained(model).is_encoder_decoder:
            raise UserError(
                f"{model} has an encoder and a decoder; write `task: seq2seq`, or give a model that only goes on."
            )
        super().check_encoded(split, model)

    def reference(self, example: Example) -> str | None:
        """Of a plain text there is none: it could go on in many ways; nor of a call of tools, which each template writes in
        its own way."""
        return None if example[FORM] == "text" or isinstance(example["completion"], dict) else super().reference(example)


def told(tokenizer: PreTrainedTokenizerBase, example: Example) -> Coded:
    """The whole example as tokens, with a mark on those that count."""
    turns = [*example["prompt"], reply_of(example)]
    if tokenizer.chat_template and example[FORM] != "text":
        return coded_conversation(tokenizer, turns, example["place"])
    check_no_tools(turns, example["place"])
    if example[FORM] == "chat":
        return coded_pieces(tokenizer, [*_start(tokenizer), *plain_turns(turns, example["place"])], ends=True)
    return coded_pieces(
        tokenizer, [*_start(tokenizer), (plain_prompt(example), False), (example["completion"], True)], ends=True
    )


def reply_of(example: Example) -> Turn:
    """The assistant's last turn: an example keeps its text alone, unless it calls tools."""
    said = example["completion"]
    return said if isinstance(said, dict) else {"role": "assistant", "content": said}


def asked(tokenizer: PreTrainedTokenizerBase, example: Example) -> list[int]:
    """What the model is given, to go on."""
    if tokenizer.chat_template and example[FORM] != "text":
        return coded_prompt(tokenizer, example["prompt"], example["place"])
    check_no_tools(example["prompt"], example["place"])
    talk = [*plain_turns(example["prompt"], example["place"]), ("Assistant: ", False)] if example[FORM] == "chat" else []
    ids, _ = coded_pieces(tokenizer, [*_start(tokenizer), *(talk or [(plain_prompt(example), False)])], ends=True)
    return ids or [int(tokenizer.eos_token_id or 0)]


def plain_prompt(example: Example) -> str:
    """What stands before a completion where there is no template."""
    text = "\n".join(turn["content"] for turn in example["prompt"])
    if example[FORM] == "instruction":
        return f"### Instruction:\n{text}\n\n### Response:\n"
    return text if example[FORM] == "text" or text[-1:].isspace() else f"{text}\n"


def next_tokens(batch: Batch) -> torch.Tensor:
    """What each position is to predict, shape (rows, width): the target one further on."""
    from torch.nn.functional import pad

    return pad(batch.targets[:, 1:], (0, 1), value=IGNORED)


def _start(tokenizer: PreTrainedTokenizerBase) -> list[tuple[str, bool]]:
    """The token that the tokenizer begins texts with, if it has one."""
    first = tokenizer("a")["input_ids"][:1]
    starts = bool(first) and tokenizer.bos_token is not None and first[0] == tokenizer.bos_token_id
    return [(str(tokenizer.bos_token), False)] if starts else []


def _talk(turns: list[Turn], where: str, labelled: bool) -> Example:
    """Of a conversation; unlabelled, the turns to which a reply is wanted."""
    at = last_reply(turns)
    if not labelled:
        if at == 0 == len(turns) - 1:
            raise UserError(f"{where}: only the assistant says something, so nothing is asked; correct or remove the row.")
        return {"prompt": turns[:at] if at == len(turns) - 1 else turns, FORM: "chat"}
    if at is None:
        raise UserError(f"{where}: the assistant says nothing, so there is nothing to learn; correct or remove the row.")
    reply = turns[at]
    return {"prompt": turns[:at], "completion": reply if "tool_calls" in reply else reply["content"], FORM: "chat"}


def _asks(text: str) -> list[Turn]:
    return [{"role": "user", "content": text}]


def _instruction_columns(names: Mapping[str, str]) -> dict[str, str]:
    """Those of Alpaca, or of Dolly where no other column holds prompts; else none. names: by themselves in small letters."""
    prompts = [name for name in PROMPTS if name in names and name not in INPUTS]
    answer = next((names[name] for name in ("output", "response")[: 1 if prompts else 2] if name in names), None)
    if answer is None or "instruction" not in names:
        return {}
    given = next(({"input": names[name]} for name in ("input", "context") if name in names), {})
    return {"instruction": names["instruction"], **given, "output": answer}


def _instruction(cells: Mapping[str, Any], where: Mapping[str, str]) -> list[Turn]:
    """An instruction, with its input below it where there is one."""
    text, given = text_of(cells["instruction"], where["instruction"]), cells.get("input")
    empty = is_blank(given)
    return _asks(text if empty else f"{text}\n\n{text_of(given, where['input'])}")
