"""What an estimate predicts is what a real step takes."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path

import psutil
import pytest
from quick_part import quick
from transformers import AutoConfig, BertConfig, GPTNeoConfig, LlamaConfig, ModernBertConfig, PretrainedConfig

from peftcost.core.setup import Scalar, Setup
from peftcost.cost.machines import needed_bytes
from peftcost.cost.meter import step_peak_bytes
from peftcost.engine.calibrate import CLASSES, TASK, real_train_state
from peftcost.engine.fitting import estimate_of, fit_to
from peftcost.engine.step_estimate import Shape, StepEstimate, estimate_step, extrapolated, one_step, reason_against
from peftcost.errors import DoesNotFit, SetupFailed
from peftcost.methods import get_method, methods
from peftcost.planning.subject import kind_and_targets
from peftcost.tasks import get_task_type

SHAPE = Shape(8, 64)


@pytest.fixture(autouse=True)
def on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")


def choices_of(method: str, **changed: Scalar) -> dict[str, Scalar]:
    return dict(Setup.of(method, {**get_method(method).prior(), **changed}, 1000).hyperparameters)


def measured(folder: Path, method: str, choices: dict[str, Scalar], shape: Shape) -> int:
    train_state = real_train_state(folder, method, choices)
    model, optimizer, device = train_state.model, train_state.optimizer, train_state.device

    def step() -> None:
        one_step(
            model, optimizer, get_method(method), choices, get_task_type(TASK), CLASSES, shape, train_state.frozen_layers
        )

    step()
    return step_peak_bytes(step, model, optimizer, device)


@pytest.mark.parametrize("method", list(methods()))
@pytest.mark.parametrize("folder", quick(["minilm", "tiny_llama"], "tiny_llama"))
def test_peak_memory_is_predicted(request: pytest.FixtureRequest, folder: str, method: str) -> None:
    path = request.getfixturevalue(folder)
    choices, config = choices_of(method), AutoConfig.from_pretrained(path)
    if get_method(method).unsupported_reason(config) is not None:
        with pytest.raises(SetupFailed, match="have no biases to train"):
            measured(path, method, choices, SHAPE)
        return
    predicted = estimate_step(config, get_task_type(TASK), get_method(method), choices, SHAPE, CLASSES)
    assert predicted.peak_bytes == pytest.approx(measured(path, method, choices, SHAPE), rel=0.02)
    assert sum(predicted.parts.values()) == pytest.approx(predicted.peak_bytes, rel=1e-6)


@pytest.mark.parametrize(
    "changed", [{"dora": True}, {"rank": 32}, {"top_layers": 2}, {"optimizer": "sgd"}, {"gradient_checkpointing": True}]
)
def test_choices_count(minilm: Path, changed: dict[str, Scalar]) -> None:
    choices = choices_of("lora", **changed)
    predicted = estimate_step(
        AutoConfig.from_pretrained(minilm), get_task_type(TASK), get_method("lora"), choices, SHAPE, CLASSES
    )
    assert predicted.peak_bytes == pytest.approx(measured(minilm, "lora", choices, SHAPE), rel=0.05)


def test_micro_batches_take_less_and_compute_as_much(minilm: Path) -> None:
    config, choices = AutoConfig.from_pretrained(minilm), choices_of("lora")
    whole = estimate_step(config, get_task_type(TASK), get_method("lora"), choices, Shape(8, 64), CLASSES)
    parts = estimate_step(config, get_task_type(TASK), get_method("lora"), choices, Shape(8, 64, 2), CLASSES)
    assert parts.parts["activations"] < 0.4 * whole.parts["activations"]
    assert parts.work.matmul_flops == pytest.approx(whole.work.matmul_flops, rel=1e-6)


@pytest.mark.parametrize("method", quick(["full", "lora", "nf4-lora"], "lora"))
@pytest.mark.parametrize("kind", quick(["encoder", "decoder"], "encoder"))
def test_two_depths_give_the_line(method: str, kind: str) -> None:
    sizes = {"hidden_size": 64, "num_hidden_layers": 26, "num_attention_heads": 4, "intermediate_size": 128}
    config = BertConfig(**sizes) if kind == "encoder" else LlamaConfig(**sizes, vocab_size=2000, pad_token_id=0)
    choices = choices_of(method)

    def estimate(some: PretrainedConfig) -> StepEstimate:
        return estimate_step(some, get_task_type(TASK), get_method(method), choices, SHAPE, CLASSES)

    line, whole = extrapolated(config, estimate), estimate(config)
    for name in ("peak_bytes", "trainable_parameters", "total_parameters"):
        assert getattr(line, name) == pytest.approx(getattr(whole, name), rel=0.005), name
    for name, amount in asdict(whole.work).items():
        assert getattr(line.work, name) == pytest.approx(amount, rel=0.005), name


def test_a_deep_base_that_cannot_be_cut_is_estimated_whole() -> None:
    sizes = {"hidden_size": 32, "num_layers": 26, "num_heads": 2, "vocab_size": 50, "max_position_embeddings": 64}
    config = GPTNeoConfig(**sizes, attention_types=[[["global", "local"], 13]], pad_token_id=0)
    found = estimate_of(config, get_task_type(TASK), "full", choices_of("full", batch_size=2), 16, CLASSES)
    layer = 4 * 32 * 32 + 2 * 4 * 32 * 32
    assert found.total_parameters == pytest.approx(26 * layer, rel=0.1)


def test_seven_billion_parameters_in_seconds_and_little_memory() -> None:
    config = LlamaConfig(
        hidden_size=4096, num_hidden_layers=32, intermediate_size=11008, num_attention_heads=32, vocab_size=32000
    )
    before, start = psutil.Process().memory_info().rss, time.monotonic()
    found = estimate_of(config, get_task_type(TASK), "lora", choices_of("lora", batch_size=1), 512, CLASSES)
    assert time.monotonic() - start < 20
    assert psutil.Process().memory_info().rss - before < 4e9
    assert found.total_parameters == pytest.approx(6.63e9, rel=0.01)  # Llama 2 7B less its language head
    assert found.parts["weights"] == pytest.approx(4 * found.total_parameters, rel=0.01)


def test_what_does_not_fit_is_made_to_fit_or_refused(minilm: Path) -> None:
    config = AutoConfig.from_pretrained(minilm)

    def estimate(choices: dict[str, Scalar]) -> StepEstimate:
        return estimate_of(config, get_task_type(TASK), "lora", choices, 128, CLASSES)

    choices = choices_of("lora")
    first = estimate(choices)
    needs = needed_bytes(first.peak_bytes, "cpu")
    assert fit_to(needs, "cpu", choices, first, estimate)[0] == choices
    for free in (0.8 * needs, 0.62 * needs):
        fitting, found = fit_to(int(free), "cpu", choices, first, estimate)
        assert needed_bytes(found.peak_bytes, "cpu") <= free
        assert int(fitting["micro_batch_size"] or 0) < 16
    with pytest.raises(DoesNotFit, match="of memory before the first|one example at a time"):
        fit_to(int(1.3e9), "cpu", choices, first, estimate)


def test_what_only_applying_a_method_shows_is_told_without_a_step() -> None:
    config = ModernBertConfig(
        vocab_size=100, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, pad_token_id=0
    )
    kind, targets = kind_and_targets(config, "text-classification")
    why = {name: reason_against(config, kind, get_method(name), targets) for name in ("lora", "houlsby", "prefix")}
    assert why["lora"] is None
    assert str(why["houlsby"]).endswith("; use lora")
    assert "before those of attention, and it takes none; use lora" in str(why["prefix"])
