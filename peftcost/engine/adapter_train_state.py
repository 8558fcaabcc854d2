"""Several LoRA setups on one base: each gets an adapter of PEFT's with the numbers that it would start from alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from peft.tuners.lora import LoraLayer
from peft.utils.other import ModulesToSaveWrapper

from peftcost.core.setup import Scalar, Setup
from peftcost.engine.base_model import BaseSpec, hold_weights, load_base, quantizing_clock
from peftcost.engine.dataset import DatasetInfo
from peftcost.engine.train_state import (
    TrainState,
    collator_for,
    count_parameters,
    made_trainable,
    make_optimizer,
    new_accelerator,
    untouched_layers,
)
from peftcost.methods import get_method
from peftcost.methods.head import head_test
from peftcost.methods.peft_method import PeftMethod

ONLY = "default"
"""PEFT's name of the adapter of a model that has one."""
INSIDE_PEFT = "base_model.model."
"""What PEFT puts before the names of the model that it wraps."""

Heads = dict[str, Mapping[str, torch.Tensor]]
"""States of the modules that are trained whole, by the modules' names in the base."""


@dataclass(eq=False)
class AdapterTrainState(TrainState):
    """A train state that shares its model with others. Its parameters are those of its adapter, under the names that they
    have in a model of its own, so that either form resumes from the other's checkpoints."""

    adapter: str = ONLY

    @cached_property
    def trained(self) -> dict[str, torch.nn.Parameter]:
        return parameters_of(self.plain, self.adapter)

    def restore(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Put back what `tensors` gave; the optimizer's fused step wants its state laid out in memory as the parameters."""
        super().restore(tensors)
        for parameter, state in self.optimizer.state.items():
            for slot, value in state.items():
                if value.shape == parameter.shape:
                    state[slot] = torch.empty_like(parameter, dtype=value.dtype).copy_(value).detach()

    def activate(self) -> None:
        """From now on the model is this train state's alone, as PEFT computes it."""
        self.plain.set_adapter(self.adapter)  # type: ignore[operator]

    def count(self, beside: Sequence[AdapterTrainState]) -> tuple[int, int]:
        """(trainable, total) parameters without those of the other adapters that the model still has."""
        own, others = (sum(p.numel() for one in some for p in one.trained.values()) for some in ([self], beside))
        return own, count_parameters(self.plain)[1] - others


def build_together(
    setups: Sequence[Setup], seeds: Sequence[int], info: DatasetInfo, steps: Sequence[int]
) -> list[AdapterTrainState]:
    """As `train_state.build` for each setup with its seed and number of steps, but on one base. They have to be able to share
    it (`sharing.can_share`)."""
    first = setups[0]
    method, shared = get_method(first.method), first.hyperparameters
    assert isinstance(method, PeftMethod)
    spec = BaseSpec.of(info, method, shared)
    heads = {seed: heads_of(spec, seed) for seed in set(seeds) - {seeds[0]}}
    accelerator = new_accelerator(str(shared["precision"]))
    with quantizing_clock(accelerator.device) as quantizing:
        base = load_base(spec, seeds[0], str(accelerator.device))
    configs = [method.config(base, setup.hyperparameters, n) for setup, n in zip(setups, steps, strict=True)]
    torch.manual_seed(seeds[0])
    model = made_trainable(base, method, shared, steps[0])
    adapters = [ONLY, *(f"member{i}" for i in range(1, len(setups)))]
    for adapter, config, seed in list(zip(adapters, configs, seeds, strict=True))[1:]:
        torch.manual_seed(seed)
        model.add_adapter(adapter, config)  # type: ignore[operator]
        set_heads(model, adapter, heads.get(seed, {}))
    for layer in model.modules():
        if isinstance(layer, LoraLayer):
            lay_out(layer)
    for adapter in adapters:
        for parameter in parameters_of(model, adapter).values():
            parameter.requires_grad_(True)  # PEFT freezes those of adapters that are not active
    hold_weights(model, spec.weights)
    model = accelerator.prepare_model(model)
    plain = accelerator.unwrap_model(model)
    collator = collator_for(info, method, shared)
    frozen_layers = untouched_layers(plain, method, shared, collator, accelerator.device)
    return [
        AdapterTrainState(
            method,
            setup.hyperparameters,
            accelerator,
            model,
            optimizer_of(parameters_of(plain, adapter), setup.hyperparameters, accelerator.device),
            collator_for(info, method, setup.hyperparameters),
            frozen_layers,
            quantizing.seconds,
            adapter,
        )
        for adapter, setup in zip(adapters, setups, strict=True)
    ]


def parameters_of(plain: torch.nn.Module, adapter: str) -> dict[str, torch.nn.Parameter]:
    """The adapter's parameters, its heads among them, by the names that they have in a model of their own."""
    mine = f".{adapter}."
    return {name.replace(mine, f".{ONLY}."): p for name, p in plain.named_parameters() if mine in name}


def optimizer_of(
    trained: Mapping[str, torch.nn.Parameter], choices: Mapping[str, Scalar], device: torch.device
) -> torch.optim.Optimizer:
    """A new optimizer of one adapter."""
    return make_optimizer(torch.nn.ParameterList(p.requires_grad_(True) for p in trained.values()), choices, device)


def heads_of(spec: BaseSpec, seed: int) -> Heads:
    """The modules that are trained whole, as a base has them that is loaded with this seed."""
    base = load_base(replace(spec, quantization=None), seed)
    is_in_head = head_test(base)
    return {name: module.state_dict() for name, module in base.named_modules() if name and is_in_head(name)}


def set_heads(model: torch.nn.Module, adapter: str, heads: Heads) -> None:
    """Give the adapter these heads, in the precision of the first one's. Without them it keeps the base's."""
    for name, module in model.named_modules():
        if isinstance(module, ModulesToSaveWrapper):
            copies: Any = module.modules_to_save
            head = copies[adapter].to(next(copies[ONLY].parameters()).dtype)
            if heads:
                head.load_state_dict(heads[name.removeprefix(INSIDE_PEFT)])


def lay_out(layer: LoraLayer) -> None:
    """Keep B's columns, not its rows, one after the other in memory: so it will lie in a pack, and the optimizer's state has
    to lie as its parameter."""
    for weight in layer.lora_B.parameters():
        weight.data = weight.data.mT.contiguous().mT
