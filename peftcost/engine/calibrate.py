"""Measures how fast this machine does each kind of work, with a few real steps of small random models."""

from __future__ import annotations

import hashlib
import json
import statistics
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
import transformers

from peftcost.core.setup import Scalar, Setup
from peftcost.core.versions import versions
from peftcost.cost.device import Device
from peftcost.cost.meter import Stopwatch
from peftcost.cost.rates import Rates, fit
from peftcost.data.builtin import cache_folder
from peftcost.engine.dataset import DatasetInfo
from peftcost.engine.fitting import device_kind
from peftcost.engine.precision import candidates
from peftcost.engine.step_estimate import Shape, estimate_step, one_step, quiet
from peftcost.engine.train_state import TrainState, build
from peftcost.methods import get_method
from peftcost.tasks import get_task_type
from peftcost.tasks.targets import Classes

TASK = "text-classification"
CLASSES = Classes(("a", "b", "c"))
POSITIONS = 512
WARM_STEPS, TIMED_STEPS = 2, 5
SHAPES = (Shape(16, 32), Shape(8, 128))
LARGE_SHAPE = Shape(8, 512)
"""Of the wide model: on the others a GPU waits for its kernels to be started, which tells nothing of its arithmetic."""
METHODS = ("full", "frozen", "lora", "adalora", "ia3", "prefix", "int8-lora", "nf4-lora")
"""They differ in what they ask for; the others are mixtures of the same."""


def small_models() -> dict[str, transformers.PretrainedConfig]:
    """An encoder and a decoder, wide enough that their matrices keep the processor as busy as real ones do."""
    bert = transformers.BertConfig(
        vocab_size=8000, hidden_size=384, num_hidden_layers=3, num_attention_heads=12, intermediate_size=1536
    )
    llama = transformers.LlamaConfig(
        vocab_size=8000,
        hidden_size=320,
        num_hidden_layers=2,
        num_attention_heads=5,
        intermediate_size=864,
        pad_token_id=0,
    )
    return {"encoder": bert, "decoder": llama}


def wide_model() -> transformers.PretrainedConfig:
    """Two layers in the shape of a model of 1B parameters."""
    return transformers.LlamaConfig(
        vocab_size=8000,
        hidden_size=2048,
        num_hidden_layers=2,
        num_attention_heads=32,
        num_key_value_heads=8,
        intermediate_size=8192,
        pad_token_id=0,
    )


def timed_steps(kind: str) -> list[tuple[str, transformers.PretrainedConfig, tuple[Shape, ...]]]:
    """What is timed on this kind of device: a name, a model, and the shapes of its batches."""
    found: list[tuple[str, transformers.PretrainedConfig, tuple[Shape, ...]]] = []
    found += [(name, config, SHAPES) for name, config in small_models().items()]
    return [*found, ("wide", wide_model(), (LARGE_SHAPE,))] if kind == "cuda" else found


def calibrate() -> Rates:
    """The rates of the device that this process is settled on, in the precision that suits it. Takes less than a minute."""
    works, seconds, kind = [], [], device_kind()
    with tempfile.TemporaryDirectory(prefix="peftcost-calibrate-") as scratch:
        for name, config, shapes in timed_steps(kind):
            folder = Path(scratch) / name
            save_random(config, folder)
            for method in METHODS:
                suited = candidates(get_method(method), kind)[0]
                choices = Setup.of(method, {**get_method(method).prior(), **suited}, 1000).hyperparameters
                for shape in shapes:
                    found = estimate_step(config, get_task_type(TASK), get_method(method), choices, shape, CLASSES, kind)
                    works.append(found.work)
                    seconds.append(step_seconds(folder, method, choices, shape))
    return fit(works, seconds)


def save_random(config: transformers.PretrainedConfig, folder: Path) -> None:
    """A model of this configuration with random weights."""
    torch.manual_seed(0)
    getattr(transformers, get_task_type(TASK).auto_model).from_config(config).base_model.save_pretrained(folder)


def real_train_state(folder: Path, method: str, choices: Mapping[str, Scalar]) -> TrainState:
    """A model that is ready to be trained by the method, on this process's device."""
    info = DatasetInfo(
        model=str(folder),
        task=TASK,
        metric="accuracy",
        targets=CLASSES,
        padding={"input_ids": 0},
        max_positions=POSITIONS,
        max_length=POSITIONS,
    )
    with quiet():
        train_state = build(Setup(method, choices, 1000), 0, info, 1000)
    train_state.model.train()
    return train_state


def step_seconds(folder: Path, method: str, choices: Mapping[str, Scalar], shape: Shape) -> float:
    """The median time of a real training step."""
    train_state = real_train_state(folder, method, choices)
    times = []
    watch = Stopwatch(train_state.device)
    for step in range(WARM_STEPS + TIMED_STEPS):
        one_step(
            train_state.model,
            train_state.optimizer,
            train_state.method,
            choices,
            get_task_type(TASK),
            CLASSES,
            shape,
            train_state.frozen_layers,
        )
        seconds = watch.lap()
        train_state.optimizer.zero_grad(set_to_none=True)
        watch.lap()
        if step >= WARM_STEPS:
            times.append(seconds)
    return statistics.median(times)


def rates_file(device: Device) -> Path:
    """Where the rates of this device are kept; other versions of the libraries may be faster or slower."""
    how = ["in half precision"] if device.kind == "cuda" else []
    key = json.dumps([device.kind, device.name, device.threads, versions(), *how])
    return cache_folder() / "rates" / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.json"


def known_rates(device: Device) -> Rates | None:
    """The rates that were measured on this machine before."""
    file = rates_file(device)
    return Rates(json.loads(file.read_text(encoding="utf-8"))["seconds_per"]) if file.exists() else None


def rates_here(device: Device, on_calibrate: Callable[[], None]) -> Rates:
    """The known rates of this device, else measured now. This process has to be settled on it already."""
    known = known_rates(device)
    if known is not None:
        return known
    on_calibrate()
    rates = calibrate()
    keep_rates(device, rates)
    return rates


def keep_rates(device: Device, rates: Rates) -> None:
    file = rates_file(device)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"device": device.as_dict(), "seconds_per": rates.seconds_per}, indent=1), encoding="utf-8")
