"""What a checkpoint puts back is where the optimizer wants it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from peftcost.core.setup import Setup
from peftcost.engine.dataset import load_dataset_info, load_split
from peftcost.engine.train_state import TrainState, build
from peftcost.methods import get_method

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


def stepped(train_state: TrainState, prepared: str) -> None:
    split = load_split(Path(prepared), "train")
    batch = train_state.collator.batch(split, range(8)).to(train_state.device)
    train_state.model(**batch.inputs).logits.float().square().sum().backward()
    train_state.optimizer.step()
    train_state.optimizer.zero_grad(set_to_none=True)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("device", DEVICES)
def test_a_restored_optimizer_goes_on_as_the_saved_one(
    prepared: str, device: str, optimizer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACCELERATE_USE_CPU", str(device == "cpu").lower())
    setup = Setup.of("lora", {**get_method("lora").prior(), "optimizer": optimizer, "dropout": 0.0}, 64)
    info = load_dataset_info(Path(prepared))
    saved, restored = (build(setup, 1, info, 4) for _ in range(2))
    assert saved.device.type == device
    stepped(saved, prepared)
    restored.restore({name: tensor.detach().cpu().clone() for name, tensor in saved.tensors().items()})
    for train_state in (saved, restored):
        for parameter, state in train_state.optimizer.state.items():
            wanted = {name: (t.device, t.dtype, t.shape) for name, t in state.items() if isinstance(t, torch.Tensor)}
            assert wanted["exp_avg" if optimizer == "adamw" else "momentum_buffer"][0] == parameter.device
        stepped(train_state, prepared)
    for (name, a), b in zip(saved.trained.items(), restored.trained.values(), strict=True):
        assert torch.allclose(a, b, rtol=1e-6, atol=1e-8), name


@pytest.mark.gpu
def test_a_gradient_scaler_is_kept(prepared: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_USE_CPU", "false")
    setup = Setup.of("lora", {**get_method("lora").prior(), "precision": "fp16"}, 64)
    saved, restored = (build(setup, 1, load_dataset_info(Path(prepared)), 4) for _ in range(2))
    saved.accelerator.scaler.scale(torch.ones(1, device="cuda"))  # it is made when it is first used
    saved.accelerator.scaler.update(new_scale=512.0)
    restored.restore(saved.tensors())
    assert restored.accelerator.scaler.get_scale() == 512.0
