"""The loop: what is trained, measured and resumed."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from quick_part import quick
from safetensors.torch import load_file

from peftcost.core.setup import Setup
from peftcost.core.statistics import nested_sample
from peftcost.engine.checkpoint import newest_checkpoint
from peftcost.engine.dataset import load_dataset_info, load_split
from peftcost.engine.job import NullReporter, TrainJob
from peftcost.engine.prepare import prepare
from peftcost.engine.schedule import plan_steps
from peftcost.engine.train import Loop, train
from peftcost.engine.train_state import build
from peftcost.errors import DoesNotFit, SetupFailed
from peftcost.methods import get_method
from peftcost.task.task import Rows, load_task

STOP = 256


@pytest.fixture(autouse=True)
def on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")


def job(prepared: str, out: Path, method: str = "lora", stop: int = STOP, **choices: Any) -> TrainJob:
    out.mkdir(parents=True, exist_ok=True)
    options = {"parent": choices.pop("parent", None), "checkpoint_seconds": choices.pop("checkpoint_seconds", 60.0)}
    setup = Setup.of(method, {**get_method(method).prior(), **choices}, stop)
    return TrainJob(prepared, setup, 3, str(out), **options)


class StopAfter(NullReporter):
    """A worker that is killed at its n-th checkpoint."""

    def __init__(self, n: int) -> None:
        self.n = n

    def phase(self, category: str) -> None:
        if category == "train":
            self.n -= 1
        if self.n < 0:
            raise KeyboardInterrupt


@pytest.mark.parametrize(
    "method",
    quick(
        ["full", "frozen", "bitfit", "lora", "adalora", "ia3", "prefix", "houlsby", "nf4-lora"],
        *("full", "lora", "adalora", "nf4-lora"),
    ),
)
def test_interrupted_and_resumed_ends_with_the_same_weights(prepared: str, tmp_path: Path, method: str) -> None:
    straight = train(job(prepared, tmp_path / "a", method, checkpoint_seconds=0), NullReporter())
    cut = job(prepared, tmp_path / "b", method, checkpoint_seconds=0)
    with pytest.raises(KeyboardInterrupt):
        train(cut, StopAfter(8))
    found = newest_checkpoint(tmp_path / "b" / "checkpoint")
    assert found is not None
    assert 0 < found.facts["step"] < 16
    again = train(cut, NullReporter())
    assert again["quality"] == straight["quality"]
    assert again["train_loss"] == straight["train_loss"]
    assert again["dev_loss"] == straight["dev_loss"]
    for file in sorted((tmp_path / "a" / "model").glob("*.safetensors")):
        ours, theirs = load_file(file), load_file(tmp_path / "b" / "model" / file.name)
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_longer_stop_goes_on_from_the_stable_phase_of_a_shorter_one(prepared: str, tmp_path: Path) -> None:
    train(job(prepared, tmp_path / "short", stop=STOP), NullReporter())
    parent = tmp_path / "short" / "checkpoint"
    stable = plan_steps(job(prepared, tmp_path, stop=STOP).setup, 200).stable_steps
    assert [p.name for p in parent.iterdir()] == [f"step-{stable:08d}"]
    promoted = train(job(prepared, tmp_path / "long", stop=2 * STOP, parent=str(parent)), NullReporter())
    straight = train(job(prepared, tmp_path / "alone", stop=2 * STOP), NullReporter())
    assert promoted["quality"] == straight["quality"]
    assert promoted["dev_loss"] == straight["dev_loss"]
    assert promoted["gpu_seconds"] > 0.3 * straight["gpu_seconds"], "the stable phase counts as if trained alone"


def test_accumulation_gives_the_same_training(prepared: str, tmp_path: Path) -> None:
    """The loss is the mean over the whole accumulated batch, the last, partial one of an epoch too."""
    whole = train(job(prepared, tmp_path / "a", "full", dropout=0.0, batch_size=16, micro_batch_size=16), NullReporter())
    parts = train(job(prepared, tmp_path / "b", "full", dropout=0.0, batch_size=16, micro_batch_size=5), NullReporter())
    assert parts["train_loss"] == pytest.approx(whole["train_loss"], abs=2e-4)
    assert parts["dev_loss"] == pytest.approx(whole["dev_loss"], abs=2e-3)


def test_a_rate_that_explodes_ends_the_setup_with_a_reason(prepared: str, tmp_path: Path) -> None:
    with pytest.raises(SetupFailed, match="not finite|became"):
        train(job(prepared, tmp_path, "full", learning_rate=1e30, max_grad_norm=None), NullReporter())


def test_what_silently_does_not_train_is_found(prepared: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("peftcost.engine.schedule.StepPlan.rate_factor", lambda self, step: 0.0)
    with pytest.raises(SetupFailed, match="moved"):
        train(job(prepared, tmp_path, "lora"), NullReporter())


def test_measured_figures_are_what_they_say(prepared: str, tmp_path: Path) -> None:
    facts = train(job(prepared, tmp_path, "full"), NullReporter())
    info, dev = load_dataset_info(Path(prepared)), load_split(Path(prepared), "dev")
    rows = np.load(tmp_path / "dev_rows.npy")
    assert len(rows) == len(dev) == 60
    logs = np.load(tmp_path / "dev_log_probabilities.npy").astype(float)
    assert np.array_equal(logs.argmax(axis=1), rows[:, 0]) and np.exp(logs).sum(axis=1) == pytest.approx(1, abs=0.01)
    assert facts["quality"] == pytest.approx(float(info.task_type.metrics[info.metric].compute(rows, np.ones((1, 60)))[0]))
    assert facts["trainable_parameters"] == facts["total_parameters"]
    weights = 4 * facts["total_parameters"]
    assert facts["peak_bytes"] >= 4 * weights * 0.95, "weights, gradients and two optimizer states"
    assert facts["artifact_bytes"] >= weights
    assert facts["gpu_seconds"] > 0
    assert facts["startup_seconds"] > 0
    assert 0 < facts["latency_seconds"] < 1
    assert math.isfinite(facts["train_loss"])


def test_memory_does_not_depend_on_when_it_is_read(prepared: str, tmp_path: Path) -> None:
    peaks = {train(job(prepared, tmp_path / str(i), "lora"), NullReporter())["peak_bytes"] for i in range(2)}
    assert max(peaks) <= 1.01 * min(peaks)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_weight_decay_is_decoupled_and_spares_vectors(prepared: str, tmp_path: Path, optimizer: str) -> None:
    """With no gradient, one step shrinks matrices by 1 - rate * decay and leaves biases and norms alone."""
    setup = job(prepared, tmp_path, "full", optimizer=optimizer, weight_decay=0.5, learning_rate=0.1).setup
    train_state = build(setup, 0, load_dataset_info(Path(prepared)), 10)
    before = {name: p.detach().clone() for name, p in train_state.trained.items()}
    for parameter in train_state.trained.values():
        parameter.grad = torch.zeros_like(parameter)
    train_state.set_rate(1.0)
    train_state.optimizer.step()
    for name, parameter in train_state.trained.items():
        factor = 1 - 0.1 * 0.5 if parameter.ndim > 1 else 1.0
        torch.testing.assert_close(parameter.detach(), before[name] * factor)


def test_seeds_decide_head_adapter_and_order(prepared: str, tmp_path: Path) -> None:
    one = train(job(prepared, tmp_path / "a"), NullReporter())
    same = train(job(prepared, tmp_path / "b"), NullReporter())
    assert one["dev_loss"] == same["dev_loss"]
    other = TrainJob(prepared, job(prepared, tmp_path / "c").setup, 4, str(tmp_path / "c"))
    assert train(other, NullReporter())["dev_loss"] != one["dev_loss"]


def test_early_stopping_stops_and_still_cools_down(prepared: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = job(prepared, tmp_path, "full", stop=200 * 6, learning_rate=1e-9)
    asked = TrainJob(**{**vars(asked), "early_stopping_patience": 2})
    loops: list[Loop] = []
    monkeypatch.setattr("peftcost.engine.train.Loop", lambda *a: loops.append(Loop(*a)) or loops[0])
    monkeypatch.setattr("peftcost.engine.train.check_moved", lambda *a: None)
    train(asked, NullReporter())
    planned = plan_steps(asked.setup, 200)
    assert loops[0].step < planned.stable_steps
    assert loops[0].step - loops[0].plan.stable_steps == planned.total_steps - planned.stable_steps


@pytest.mark.parametrize("method", ["int8-lora", "nf4-lora"])
def test_quantizing_is_part_of_the_price(prepared: str, tmp_path: Path, method: str) -> None:
    asked = job(prepared, tmp_path / method, method)
    info = load_dataset_info(Path(prepared))
    assert build(asked.setup, 3, info, 16).quantizing_seconds > 0
    assert build(job(prepared, tmp_path / "lora").setup, 3, info, 16).quantizing_seconds == 0


@pytest.mark.parametrize("method", ["prompt", "prefix"])
def test_virtual_tokens_do_not_shift_the_tags(tiny_bert: Path, tmp_path: Path, method: str) -> None:
    task = load_task("builtin:wnut16").model_copy(update={"model": str(tiny_bert), "rows": Rows(train=100, dev=40, test=20)})
    payload = {"task": task.model_dump(mode="json"), "seed": 0, "model": str(tiny_bert), "model_fingerprint": "tiny"}
    folder = str(prepare(payload, NullReporter())["prepared"])
    assert math.isfinite(train(job(folder, tmp_path / method, method, 64), NullReporter())["dev_loss"])


def test_gradient_checkpointing_changes_nothing_but_memory(prepared: str, tmp_path: Path) -> None:
    plain = train(job(prepared, tmp_path / "plain", "lora", 64), NullReporter())
    spared = train(job(prepared, tmp_path / "spared", "lora", 64, gradient_checkpointing=True), NullReporter())
    assert spared["dev_loss"] == pytest.approx(plain["dev_loss"], rel=1e-4)
    assert spared["peak_bytes"] < plain["peak_bytes"]


def test_what_cannot_fit_is_not_started(prepared: str, tmp_path: Path) -> None:
    asked = replace(job(prepared, tmp_path, "lora", 64), memory_bytes=10**9, estimate_step=True)
    with pytest.raises(DoesNotFit):
        train(asked, NullReporter())
    assert not (tmp_path / "model").exists()


def test_a_sample_of_dev_is_what_it_names_and_grows(prepared: str, tmp_path: Path) -> None:
    every = train(job(prepared, tmp_path / "all", "frozen"), NullReporter())
    some = train(replace(job(prepared, tmp_path / "some", "frozen"), dev_rows=20), NullReporter())
    rows, sampled = np.load(tmp_path / "all" / "dev_rows.npy"), np.load(tmp_path / "some" / "dev_rows.npy")
    assert np.array_equal(sampled, rows[nested_sample(60, 20)])
    assert set(nested_sample(60, 20)) <= set(nested_sample(60, 40))
    assert (every["dev_rows"], some["dev_rows"]) == (None, 20)


@pytest.mark.parametrize("method", ["lora", "frozen"])
def test_a_part_of_the_training_rows(prepared: str, tmp_path: Path, method: str) -> None:
    """All of them are all of them; of a part, no activations are left for others, whose numbers are others."""
    whole = train(job(prepared, tmp_path / "whole", method, top_layers=1), NullReporter())
    all_rows = len(load_split(Path(prepared), "train"))
    same = train(replace(job(prepared, tmp_path / "same", method, top_layers=1), train_rows=all_rows), NullReporter())
    part = train(replace(job(prepared, tmp_path / "part", method, top_layers=1), train_rows=32), NullReporter())
    assert same["dev_loss"] == whole["dev_loss"] and part["dev_loss"] != whole["dev_loss"]
    assert part["train_loss"] < whole["train_loss"], "eight epochs of 32 rows are learnt by heart"
    assert part["kept_train_rows"] == 0
