"""The head of a language model sees only the positions that count, and nothing else changes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from peftcost.core.setup import Setup
from peftcost.data.table import Table
from peftcost.engine.packing import packed_logits
from peftcost.engine.source import forward
from peftcost.engine.wanted_logits import with_places
from peftcost.methods import get_method
from peftcost.tasks import get_task_type
from peftcost.tasks.batch import Batch
from peftcost.tasks.targets import Tokens

KIND = get_task_type("causal-lm")
ROWS = [{"prompt": "a long question, of which nothing counts " * (1 + i), "completion": "yes" * (1 + i)} for i in range(3)]
COUNTED = sum(3 * (1 + i) + 1 for i in range(3))


def model_and_batch(folder: Path, method: str) -> tuple[torch.nn.Module, Batch]:
    tokenizer = KIND.processor(str(folder))
    table = Table("data.jsonl", list(ROWS[0]), [dict(row) for row in ROWS], [1, 2, 3])
    examples = KIND.read(table, {"prompt": "prompt", "completion": "completion"})
    split = KIND.encode(tokenizer, examples, Tokens(), 200)
    base = AutoModelForCausalLM.from_pretrained(folder)
    base.fresh_modules = ()
    choices = Setup.of(method, get_method(method).prior(), 64).hyperparameters
    torch.manual_seed(0)
    model = get_method(method).apply(base, choices, 8)
    return model.eval(), KIND.collate(split, np.arange(3), KIND.padding(tokenizer), 200)


@pytest.mark.parametrize("folder", ["tiny_chat_lm", "tiny_gpt2"])
@pytest.mark.parametrize("method", ["full", "lora", "prompt"])
def test_losses_gradients_and_rows_are_those_of_all_logits(folder: str, method: str, request: pytest.FixtureRequest) -> None:
    model, batch = model_and_batch(request.getfixturevalue(folder), method)
    found = []
    for one in (replace(batch, kept=None), batch):
        model.zero_grad()
        logits = forward(model, one)
        loss, n = KIND.loss(logits, one, label_smoothing=0.1)
        loss.backward()
        gradients = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
        found.append((logits.shape, loss.detach(), int(n), gradients, KIND.predict(logits.detach(), one, Tokens())))
    (_, loss, n, gradients, rows), (shape, kept_loss, kept_n, kept_gradients, kept_rows) = found
    assert shape == (COUNTED, model.config.vocab_size), "the head saw no more than what counts"
    assert n == kept_n == COUNTED
    torch.testing.assert_close(kept_loss, loss, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(kept_gradients, gradients, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(kept_rows, rows, rtol=1e-5)


def test_texts_laid_end_to_end_too(tiny_chat_lm: Path) -> None:
    model, batch = model_and_batch(tiny_chat_lm, "full")
    with torch.no_grad():
        packed, padded = packed_logits(model, batch, 0, True), forward(model, batch)
    assert packed.shape == padded.shape == (COUNTED, model.config.vocab_size)
    torch.testing.assert_close(packed, padded, rtol=1e-4, atol=1e-4)


def test_what_a_cuda_graph_holds_has_a_given_number_of_logits(tiny_gpt2: Path) -> None:
    model, batch = model_and_batch(tiny_gpt2, "full")
    filled = with_places(batch, COUNTED + 5)
    logits = forward(model, filled)
    assert logits.shape == (COUNTED + 5, model.config.vocab_size)
    loss, n = KIND.loss(logits, filled, label_smoothing=0.1)
    assert int(n) == COUNTED
    torch.testing.assert_close(loss, KIND.loss(forward(model, batch), batch, label_smoothing=0.1)[0], rtol=1e-6, atol=1e-5)
    assert forward(model, with_places(batch, 10**6)).shape == (*batch.inputs["input_ids"].shape, model.config.vocab_size)


def test_a_model_that_hands_its_head_something_else_computes_all(tiny_gpt2: Path) -> None:
    model, batch = model_and_batch(tiny_gpt2, "full")
    model.get_output_embeddings = lambda: None  # type: ignore[assignment]
    logits = forward(model, batch)
    assert logits.ndim == 3
    assert int(KIND.loss(logits, batch)[1]) == COUNTED
