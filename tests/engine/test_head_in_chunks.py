"""Memory of a language model's step whose head computes its logits in chunks: it falls, and is predicted."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from peftcost.core.setup import Scalar, Setup
from peftcost.cost.meter import step_peak_bytes
from peftcost.engine.dataset import DatasetInfo
from peftcost.engine.step_estimate import Shape, estimate_step, one_step
from peftcost.engine.train_state import build
from peftcost.methods import get_method
from peftcost.tasks import chunked_loss, get_task_type, lazy_logits
from peftcost.tasks.targets import Tokens

VOCABULARY, PLACES = 20_000, 300
SHAPE = Shape(4, 96, places=PLACES)
KIND = get_task_type("causal-lm")
CONFIG = LlamaConfig(
    vocab_size=VOCABULARY,
    hidden_size=64,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=128,
    max_position_embeddings=128,
    pad_token_id=0,
    tie_word_embeddings=True,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wide")
    torch.manual_seed(0)
    LlamaForCausalLM(CONFIG).save_pretrained(folder)
    return folder


def measured(folder: Path, method: str, choices: dict[str, Scalar]) -> int:
    info = DatasetInfo(str(folder), "causal-lm", "negative_loss", Tokens(), {"input_ids": 0}, 128, 128)
    train_state = build(Setup(method, choices, 1000), 0, info, 1000)
    model, optimizer = train_state.model.train(), train_state.optimizer

    def step() -> None:
        one_step(model, optimizer, train_state.method, choices, KIND, Tokens(), SHAPE, train_state.frozen_layers)

    step()
    return step_peak_bytes(step, model, optimizer, train_state.device)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_step_takes_less_and_that_is_predicted(
    folder: Path, method: str, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    monkeypatch.setattr(chunked_loss, "CHUNK_LOGITS", 16 * VOCABULARY)
    prior = {**get_method(method).prior(), "precision": precision, "batch_size": 4, "dropout": 0.0}
    choices = dict(Setup.of(method, prior, 1000).hyperparameters)
    peaks = []
    for few in (2**20, 2**30):
        for dtype in lazy_logits.FEW:
            monkeypatch.setitem(lazy_logits.FEW, dtype, few)
        predicted = estimate_step(CONFIG, KIND, get_method(method), choices, SHAPE, Tokens()).peak_bytes
        peaks.append(measured(folder, method, choices))
        assert predicted == pytest.approx(peaks[-1], rel=0.02)
    chunked, whole = peaks
    logits = PLACES * VOCABULARY
    assert whole - chunked > 8 * logits, "logits, their logarithms and gradients are not there"
