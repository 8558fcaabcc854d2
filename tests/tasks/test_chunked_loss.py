"""Cross entropy a chunk at a time: the same numbers, in less memory."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch.nn.functional import cross_entropy

from peftcost.cost.meter import step_peak_bytes
from peftcost.tasks import chunked_loss, lazy_logits
from peftcost.tasks.base import IGNORED
from peftcost.tasks.chunked_loss import summed_cross_entropy

POSITIONS, VOCABULARY = 50, 200


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunked_loss, "CHUNK_LOGITS", 7 * VOCABULARY)
    monkeypatch.setitem(lazy_logits.FEW, torch.bfloat16, 7 * VOCABULARY)


def pairs(dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    drawn = torch.Generator().manual_seed(0)
    gold = torch.randint(VOCABULARY, (POSITIONS,), generator=drawn)
    gold[::5] = IGNORED
    return (3 * torch.randn(POSITIONS, VOCABULARY, generator=drawn)).to(dtype).requires_grad_(), gold


def at_once(logits: torch.Tensor, gold: torch.Tensor, smoothing: float) -> torch.Tensor:
    return cross_entropy(logits.float(), gold, reduction="sum", ignore_index=IGNORED, label_smoothing=smoothing)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_loss_and_gradients_are_those_of_all_at_once(smoothing: float) -> None:
    (logits, gold), (same, _) = pairs(torch.bfloat16), pairs(torch.bfloat16)
    loss, wanted = summed_cross_entropy(logits, gold, smoothing), at_once(same, gold, smoothing)
    torch.testing.assert_close(loss, wanted, rtol=1e-6, atol=0)
    (loss / 40).backward()
    (wanted / 40).backward()
    torch.testing.assert_close(logits.grad, same.grad, rtol=2**-7, atol=1e-6)  # two roundings to bf16 in place of one
    assert not logits.grad[::5].any(), "what does not count teaches nothing"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_other_numbers_stay_as_they_were_to_the_last_bit(dtype: torch.dtype) -> None:
    (logits, gold), (same, _) = pairs(dtype), pairs(dtype)
    summed_cross_entropy(logits, gold).backward()
    at_once(same, gold, 0.0).backward()
    assert torch.equal(logits.grad, same.grad)


def test_judging_keeps_no_gradients() -> None:
    logits, gold = pairs(torch.bfloat16)
    with torch.no_grad():
        loss = summed_cross_entropy(logits, gold)
    assert not loss.requires_grad
    torch.testing.assert_close(loss, at_once(logits, gold, 0.0).detach(), rtol=1e-6, atol=0)


def test_a_step_takes_half_of_the_memory() -> None:
    """As measured when a setup is: the head's bf16 logits, and what the loss makes of them."""
    head = torch.nn.Linear(8, 20_000, dtype=torch.bfloat16)
    optimizer = torch.optim.SGD(head.parameters())
    hidden, gold = torch.randn(500, 8, dtype=torch.bfloat16), torch.randint(20_000, (500,))
    steps = [partial(lambda loss: loss(head(hidden), gold, 0.0).backward(), loss) for loss in (summed_cross_entropy, at_once)]
    chunked, whole = (step_peak_bytes(step, head, optimizer, torch.device("cpu")) for step in steps)
    assert chunked < 0.5 * whole
