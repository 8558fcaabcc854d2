"""Many logits of a language model are never all there, and everything is as if they were."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    BartConfig,
    Gemma2Config,
    GPT2Config,
    LlamaConfig,
    PretrainedConfig,
    T5Config,
)

from peftcost.engine.source import forward
from peftcost.engine.wanted_logits import computed_later
from peftcost.tasks import chunked_loss, get_task_type, lazy_logits
from peftcost.tasks.base import IGNORED
from peftcost.tasks.chunked_loss import summed_cross_entropy
from peftcost.tasks.lazy_logits import LazyLogits, is_lazy
from peftcost.tasks.targets import Tokens

POSITIONS, WIDTH, VOCABULARY = 50, 16, 200
MANY = {torch.bfloat16: 20, torch.float32: 20}


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunked_loss, "CHUNK_LOGITS", 7 * VOCABULARY)


@pytest.fixture
def lazy(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    return lambda on: monkeypatch.setattr(lazy_logits, "FEW", MANY if on else {})


def parts(bias: bool, trained: bool) -> tuple[torch.nn.Linear, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    head = torch.nn.Linear(WIDTH, VOCABULARY, bias).requires_grad_(trained)
    gold = torch.randint(VOCABULARY, (POSITIONS,))
    gold[::5] = IGNORED
    return head, (3 * torch.randn(POSITIONS, WIDTH)).requires_grad_(), gold


def gradients(head: torch.nn.Linear, hidden: torch.Tensor) -> list[torch.Tensor | None]:
    return [hidden.grad, *(parameter.grad for parameter in head.parameters())]


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("trained", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("precision", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 2**-6)])
def test_loss_and_gradients_are_those_of_all_at_once(
    precision: torch.dtype, tolerance: float, bias: bool, trained: bool, smoothing: float
) -> None:
    found = []
    for chunked in (True, False):
        head, hidden, gold = parts(bias, trained)
        with torch.autocast("cpu", precision, enabled=precision is torch.bfloat16), mock.patch.dict(lazy_logits.FEW, MANY):
            if chunked:
                with computed_later(head):
                    logits = head(hidden)
                assert is_lazy(logits)
                assert (logits.shape, logits.dtype) == ((POSITIONS, VOCABULARY), precision)
            else:
                logits = head(hidden)
        if chunked:
            loss = summed_cross_entropy(logits, gold, smoothing)
            assert is_lazy(logits), "nobody has computed all"
        else:
            loss = cross_entropy(logits.float(), gold, reduction="sum", ignore_index=IGNORED, label_smoothing=smoothing)
        (loss / 40).backward()
        found.append((loss.detach(), gradients(head, hidden)))
    (loss, ours), (wanted, whole) = found
    torch.testing.assert_close(loss, wanted, rtol=1e-5, atol=0)
    for ours_of, whole_of in zip(ours, whole, strict=True):
        assert (ours_of is None) == (whole_of is None)
        if ours_of is not None and whole_of is not None:
            assert ours_of.dtype is whole_of.dtype
            assert (ours_of - whole_of).norm() <= tolerance * whole_of.norm()
    assert not ours[0][::5].any(), "what does not count teaches nothing"  # type: ignore[index]
    assert trained or ours[1] is None


def test_the_gradient_of_a_frozen_head_is_not_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any) -> None:
        raise AssertionError

    monkeypatch.setattr(chunked_loss, "_add_product", never)
    head, hidden, gold = parts(False, trained=False)
    summed_cross_entropy(LazyLogits(hidden, head, torch.float32), gold).backward()
    head, hidden, gold = parts(False, trained=True)
    with torch.no_grad():
        summed_cross_entropy(LazyLogits(hidden, head, torch.float32), gold)
    with pytest.raises(AssertionError):
        summed_cross_entropy(LazyLogits(hidden, head, torch.float32), gold)


CHANGES: dict[str, Callable[[torch.Tensor], Any]] = {
    "capped": lambda logits: 5 * torch.tanh(logits / 5),
    "scaled in place": lambda logits: logits.mul_(3),
    "overwritten": lambda logits: torch.Tensor.fill_(logits[:, 3:9], -4) is None or None,
    "assigned": lambda logits: logits.__setitem__((slice(None), slice(3, 9)), -4),
    "looked at without gradients": lambda logits: torch.no_grad()(lambda: logits.max())() is None or None,
}


@pytest.mark.parametrize("how", CHANGES)
def test_a_model_that_changes_its_logits_gets_them(how: str) -> None:
    found = []
    for lazily in (True, False):
        head, hidden, gold = parts(True, trained=True)
        logits = LazyLogits(hidden, head, torch.float32) if lazily else head(hidden)
        changed = CHANGES[how](logits)
        loss = summed_cross_entropy(logits if changed is None else changed, gold)
        loss.backward()
        found.append([loss.detach(), *gradients(head, hidden)])
    for ours, whole in zip(*found, strict=True):
        assert torch.equal(ours, whole)


def sized(kind: type[PretrainedConfig], **changed: Any) -> PretrainedConfig:
    return kind(vocab_size=VOCABULARY, pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=0, **changed)


LAYERS = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
LLAMA = {**LAYERS, "num_key_value_heads": 2, "max_position_embeddings": 64}
FEED = {"decoder_ffn_dim": 64, "encoder_ffn_dim": 64, "decoder_attention_heads": 4, "encoder_attention_heads": 4}
BASES: dict[str, tuple[PretrainedConfig, bool]] = {
    "llama": (sized(LlamaConfig, **LLAMA), True),
    "llama, tied": (sized(LlamaConfig, **LLAMA, tie_word_embeddings=True), True),
    "gpt2": (sized(GPT2Config, n_embd=32, n_layer=2, n_head=4, n_positions=64), True),
    "gemma2": (sized(Gemma2Config, **LLAMA, head_dim=8, final_logit_softcapping=0.1), False),
    "t5": (sized(T5Config, d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4), True),
    "bart, which adds a bias of its own": (
        sized(BartConfig, d_model=32, encoder_layers=1, decoder_layers=1, max_position_embeddings=64, **FEED),
        False,
    ),
}


@pytest.mark.parametrize("name", BASES)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_bases_train_and_judge_as_before(name: str, precision: str, lazy: Callable[[bool], None]) -> None:
    """Those whose head has the last word without all logits."""
    config, head_is_last = BASES[name]
    kind = get_task_type("seq2seq" if config.is_encoder_decoder else "causal-lm")
    auto = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    torch.manual_seed(0)
    model = auto.from_config(copy.deepcopy(config)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2)  # logits that a cap changes
    batch = kind.dummy_batch(config, Tokens(), (19, 17, 15))
    batch.targets[:, ::3] = IGNORED
    found = []
    for on in (False, True):
        lazy(on)
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            logits = forward(model, batch).float()  # as Accelerate hands them on
        assert is_lazy(logits) == (on and head_is_last)
        loss, n = kind.loss(logits, batch, label_smoothing=0.1)
        loss.backward()
        assert is_lazy(logits) == (on and head_is_last), "the loss has not asked for all"
        every = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            judged = forward(model, batch).float()
        with torch.inference_mode():
            found.append((loss.detach(), int(n), every, kind.predict(judged, batch, Tokens()), kind.loss(judged, batch)[0]))
    (loss, n, every, rows, judged), (ours, our_n, our_every, our_rows, our_judged) = found
    assert n == our_n > 0
    torch.testing.assert_close(ours, loss, rtol=1e-5, atol=0)
    torch.testing.assert_close(our_judged, judged, rtol=1e-5, atol=0)
    assert (our_every - every).norm() <= (1e-5 if precision == "fp32" else 2**-7) * every.norm()
    np.testing.assert_allclose(our_rows, rows, rtol=1e-5)
