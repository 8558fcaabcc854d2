"""Every method trains a causal language model, comes back from its folder, and writes; or says why it cannot."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from peftcost.core.setup import Setup
from peftcost.data.features import Split, ragged
from peftcost.engine.base_model import BaseSpec, load_base
from peftcost.engine.dataset import DatasetInfo
from peftcost.engine.generate import generate, side_by_side, until_end
from peftcost.engine.train_state import collator_for, make_optimizer
from peftcost.methods import get_method, methods
from peftcost.tasks import get_task_type
from peftcost.tasks.targets import Tokens

KIND = get_task_type("causal-lm")
ROWS = [("ab", "yes"), ("cde", "no"), ("a", "yes"), ("cd", "no")]


def base_of(folder: Path, quantization: str | None, seed: int) -> torch.nn.Module:
    return load_base(BaseSpec(str(folder), KIND.auto_model, {}, KIND.fresh_head, quantization=quantization), seed)


@pytest.mark.parametrize("model", ["tiny_chat_lm", "tiny_gpt2"])
@pytest.mark.parametrize("name", list(methods()))
def test_a_method_trains_returns_and_writes_or_says_why_not(
    name: str, model: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    folder: Path = request.getfixturevalue(model)
    method = get_method(name)
    base = base_of(folder, method.quantization, 0)
    choices = Setup.of(name, {**method.prior(), "learning_rate": 1e-2}, 64).hyperparameters
    why = method.unsupported_reason(base.config)
    if why is None and name == "frozen":
        with pytest.raises(ValueError, match="nothing to train"):
            method.apply(base, choices, 8)
        choices = {**choices, "top_layers": 1}
    if why is not None:
        assert len(why) > 20
        return
    tokenizer = KIND.processor(str(folder))
    examples = [
        {"prompt": [{"role": "user", "content": p}], "completion": c, "form": "pair", "place": "x, line 1"} for p, c in ROWS
    ]
    info = DatasetInfo(str(folder), KIND.name, "negative_loss", Tokens(), KIND.padding(tokenizer), 256, 64)
    split = KIND.encode(tokenizer, examples, Tokens(), 64)
    collator = collator_for(info, method, choices)
    torch.manual_seed(1)
    trained = method.apply(base, choices, 8).train()
    head = trained.get_output_embeddings().weight.detach().clone() if name != "full" else None
    optimizer, losses = make_optimizer(trained, choices), []
    batch = collator.batch(split, np.arange(4))
    for step in range(8):
        loss, n = KIND.loss(trained(**batch.inputs).logits, batch)
        (loss / n).backward()
        optimizer.step()
        method.after_step(trained, step)
        optimizer.zero_grad()
        losses.append(float(loss))
    assert losses[-1] < losses[0]
    if head is not None:
        assert torch.equal(head, trained.get_output_embeddings().weight), "the pretrained head stays as it is"
    method.save(trained.eval(), tmp_path)
    again = method.load(base_of(folder, method.quantization, 1), tmp_path)
    with torch.no_grad():
        torch.testing.assert_close(again(**batch.inputs).logits, trained(**batch.inputs).logits, atol=2e-5, rtol=1e-4)
    asked = KIND.encode(tokenizer, [{k: v for k, v in e.items() if k != "completion"} for e in examples], None, 64)
    room = 256 - method.virtual_tokens(choices)
    settings = (int(info.padding["input_ids"]), KIND.end_tokens(tokenizer), room, torch.device("cpu"), 5)
    together = generate(again, asked, *settings)
    one = Split({name: ragged([column[1].tolist()]) for name, column in asked.columns.items()}, asked.lengths[1:2])
    assert together[1] == generate(again, one, *settings)[0], "a prompt is answered alike alone and beside longer ones"
    assert together[1] == by_hand(again, asked.columns["input_ids"][1].tolist(), KIND.end_tokens(tokenizer), 5)


def by_hand(model: torch.nn.Module, ids: list[int], ends: list[int], n: int) -> list[int]:
    """The most likely token, again and again, by whole forward passes."""
    written: list[int] = []
    with torch.no_grad():
        for _ in range(n):
            whole = torch.tensor([ids + written])
            best = int(model(input_ids=whole, attention_mask=torch.ones_like(whole)).logits[0, -1].argmax())
            if best in ends:
                break
            written.append(best)
    return written


def test_prompts_are_padded_on_the_left_and_texts_end_at_their_end() -> None:
    ids, mask = side_by_side([[5], [6, 7]], pad_id=0, on_the_left=True)
    assert (ids.tolist(), mask.tolist()) == ([[0, 5], [6, 7]], [[0, 1], [1, 1]])
    ids, mask = side_by_side([[5], [6, 7]], pad_id=0, on_the_left=False)
    assert (ids.tolist(), mask.tolist()) == ([[5, 0], [6, 7]], [[1, 0], [1, 1]])
    assert until_end([3, 4, 2, 9], [2]) == [3, 4]
    assert until_end([3], [2]) == [3]
