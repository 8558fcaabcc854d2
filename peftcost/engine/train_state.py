"""A model with everything that training needs around it, built from a setup and a seed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState
from transformers import PreTrainedModel

from peftcost.core.setup import Scalar, Setup
from peftcost.engine import ranks
from peftcost.engine.attention import attention_of
from peftcost.engine.base_model import BaseSpec, hold_weights, load_base, quantizing_clock
from peftcost.engine.dataset import Collator, DatasetInfo
from peftcost.engine.frozen_layers import SAME, SAME_IN_HALF, FrozenLayers, cut
from peftcost.engine.layout import end_to_end, goes_without_mask, keeps_apart, lies_end_to_end, without_mask
from peftcost.engine.precision import leave_to_autocast
from peftcost.errors import SetupFailed
from peftcost.methods import Method, get_method
from peftcost.tasks.batch import Batch

CPU = torch.device("cpu")
SCALER_STATE = ("scale", "_growth_tracker")
"""What changes in fp16's gradient scaler while it trains."""
KEPT_APART: dict[tuple[str, str, Scalar], bool] = {}
"""Of bases by configuration, attention and dropout: whether they keep texts apart that lie end to end."""
MIXED_PRECISION = {"fp32": "no", "bf16": "bf16", "fp16": "fp16"}


@dataclass
class TrainState:
    """model: as prepared by Accelerate; plain: the same without its wrappers.

    frozen_layers: those that the setup leaves untouched, where there are any. quantizing_seconds: what quantizing the base
    took while it was loaded; 0 for an unquantized one. found: with which attention texts lie end to end.
    """

    method: Method
    choices: Mapping[str, Scalar]
    accelerator: Accelerator
    model: torch.nn.Module
    optimizer: torch.optim.Optimizer
    collator: Collator
    frozen_layers: FrozenLayers | None = None
    quantizing_seconds: float = 0.0
    found: dict[str | None, bool] = field(default_factory=dict, init=False)

    @cached_property
    def plain(self) -> torch.nn.Module:
        return self.accelerator.unwrap_model(self.model)

    @property
    def device(self) -> torch.device:
        return self.accelerator.device

    @cached_property
    def unmasked(self) -> bool:
        """Whether training steps give the model no mask."""
        return self.device.type == "cuda" and goes_without_mask(self.plain, self.method, self.choices)

    @property
    def end_to_end(self) -> bool:
        """Whether the texts of a training's micro-batch lie end to end: the base's attention is told where they end."""
        attention = attention_of(self.plain.config)  # type: ignore[arg-type]
        if attention not in self.found:
            self.found[attention] = self.unmasked and self._lies_end_to_end(attention)
        return self.found[attention]

    def _lies_end_to_end(self, attention: str | None) -> bool:
        config: Any = self.plain.config
        if not lies_end_to_end(attention, self.method, self.choices, self.collator.task_type.keeps_places):
            return False
        key = (config.to_json_string(), str(attention), self.choices["dropout"])
        if key not in KEPT_APART:
            found = keeps_apart(self.model, self.collator.two_rows(config).to(self.device))
            KEPT_APART[key] = ranks.agreed(found)  # all take the same batches
        return KEPT_APART[key]

    def laid_out(self, batch: Batch, width: int = 0, longest: int = 0, most_texts: int = 0) -> Batch:
        """A padded batch as training steps give it to the model. The numbers are for texts that lie end to end."""
        if self.end_to_end:
            return end_to_end(batch, width, longest or batch.width, most_texts)
        return without_mask(batch) if self.unmasked else batch

    @cached_property
    def trained(self) -> dict[str, torch.nn.Parameter]:
        """The parameters that are trained, by name."""
        return {name: p for name, p in self.plain.named_parameters() if p.requires_grad}

    def tensors(self) -> dict[str, torch.Tensor]:
        """Everything that a checkpoint keeps: trained parameters, optimizer, method state, random state."""
        found: dict[str, torch.Tensor] = {}
        for name, parameter in self.trained.items():
            found[f"trained/{name}"] = parameter
            for key, value in self.optimizer.state.get(parameter, {}).items():
                found[f"optimizer/{key}/{name}"] = value
        found |= {f"method/{key}": value for key, value in self.method.state(self.plain).items()}
        if self.accelerator.scaler is not None:
            scaling = self.accelerator.scaler.state_dict()
            found |= {f"scaler/{key}": torch.tensor(scaling[key]) for key in SCALER_STATE}
        found["random/cpu"] = ranks.every_random_state(torch.get_rng_state())
        if self.device.type == "cuda":
            found["random/cuda"] = ranks.every_random_state(torch.cuda.get_rng_state(self.device))
        return found

    def restore(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Put back what `tensors` gave."""
        method_state = {key.removeprefix("method/"): t for key, t in tensors.items() if key.startswith("method/")}
        self.method.load_state(self.plain, method_state)
        parameters = self.trained
        with torch.no_grad():
            for name, parameter in parameters.items():
                parameter.copy_(tensors[f"trained/{name}"])
        self.optimizer.load_state_dict(self._optimizer_state(tensors))
        scaler = self.accelerator.scaler
        if scaler is not None:
            found = {key: tensors[f"scaler/{key}"].item() for key in SCALER_STATE}
            scaler.load_state_dict({**scaler.state_dict(), **found})
        torch.set_rng_state(ranks.own_random_state(tensors["random/cpu"]))
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(ranks.own_random_state(tensors["random/cuda"]), self.device)

    def _optimizer_state(self, tensors: Mapping[str, torch.Tensor]) -> dict[str, Any]:
        """As torch's optimizers load it: they know where each kind of state has to be (AdamW's step count is on the GPU where
        the update is fused, else on the CPU)."""
        slots: dict[str, dict[str, torch.Tensor]] = {}
        for key, tensor in tensors.items():
            kind, _, rest = key.partition("/")
            if kind == "optimizer":
                slot, _, name = rest.partition("/")
                slots.setdefault(name, {})[slot] = tensor
        names = {id(parameter): name for name, parameter in self.trained.items()}
        in_order = [names[id(parameter)] for group in self.optimizer.param_groups for parameter in group["params"]]
        state = {number: slots[name] for number, name in enumerate(in_order) if name in slots}
        return {**self.optimizer.state_dict(), "state": state}

    def set_rate(self, factor: float) -> None:
        """Use this share of the learning rate from now on."""
        rate = float(self.choices["learning_rate"] or 0.0) * factor
        for group in self.optimizer.param_groups:
            if isinstance(group["lr"], torch.Tensor):
                group["lr"].fill_(rate)  # in its place: CUDA graphs read it there
            else:
                group["lr"] = rate


def build(setup: Setup, seed: int, info: DatasetInfo, total_steps: int) -> TrainState:
    """Load the base, apply the method, make the optimizer. The seed alone decides head, adapters and dropout."""
    method = get_method(setup.method)
    choices = setup.hyperparameters
    accelerator = new_accelerator(str(choices["precision"]))
    with quantizing_clock(accelerator.device) as quantizing:
        spec = BaseSpec.of(info, method, choices)
        base = load_base(spec, seed, str(accelerator.device))
        why_not = method.unsupported_reason(base.config, accelerator.device.type)
        if why_not is not None:
            raise SetupFailed(why_not)
    torch.manual_seed(seed)  # again: loading may or may not have drawn
    model = made_trainable(base, method, choices, total_steps)
    hold_weights(model, spec.weights)
    optimizer = make_optimizer(model, choices, accelerator.device)
    model = accelerator.prepare_model(model, evaluation_mode=True)  # not wrapped: the step itself sums over ranks
    optimizer = accelerator.prepare_optimizer(optimizer)
    collator = collator_for(info, method, choices)
    plain = accelerator.unwrap_model(model)
    method.placed(plain)
    frozen_layers = untouched_layers(plain, method, choices, collator, accelerator.device)
    return TrainState(method, choices, accelerator, model, optimizer.optimizer, collator, frozen_layers, quantizing.seconds)


def untouched_layers(
    plain: torch.nn.Module, method: Method, choices: Mapping[str, Scalar], collator: Collator, device: torch.device
) -> FrozenLayers | None:
    """The lowest layers, which the setup leaves as they are, if the model works without them."""
    tolerance = SAME_IN_HALF if device.type == "cuda" and choices["precision"] != "fp32" else SAME
    two_rows = collator.two_rows(plain.config).to(device)
    return cut(plain, method.frozen_depth(plain, choices), two_rows, tolerance=tolerance)


def made_trainable(base: PreTrainedModel, method: Method, choices: Mapping[str, Scalar], total_steps: int) -> torch.nn.Module:
    """The base with the setup's dropout, the method applied, and checkpointing where it is chosen."""
    if choices["dropout"] is not None:
        for module in base.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = float(choices["dropout"])
    keep_statistics(base)
    model = method.apply(base, choices, total_steps)
    leave_to_autocast(model, str(choices["precision"]))
    if choices["gradient_checkpointing"]:
        allow_checkpointing(model)
    return model


def keep_statistics(base: PreTrainedModel) -> None:
    """Let batch normalization use the base's statistics, as it does when it predicts: they are no parameters, which a method
    would train and save, and those of small batches are poor."""
    for module in base.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.eval()
            setattr(module, "train", partial(_as_it_is, module))  # noqa: B010  (torch types all attributes as modules)


def _as_it_is(module: torch.nn.Module, mode: bool = True) -> torch.nn.Module:
    return module


def allow_checkpointing(model: torch.nn.Module) -> None:
    """Recompute each trained layer in the backward pass."""
    model.gradient_checkpointing_enable({"use_reentrant": False})  # type: ignore[operator]


def collator_for(info: DatasetInfo, method: Method, choices: Mapping[str, Scalar]) -> Collator:
    """Virtual tokens of prompt methods take their room from the longest inputs."""
    room = info.max_positions - method.virtual_tokens(choices)
    return Collator(info.task_type, info.targets, info.padding, min(info.max_length, room))


def new_accelerator(precision: str) -> Accelerator:
    """A fresh Accelerator: its state is a process-wide singleton that would refuse another precision."""
    AcceleratorState._reset_state()
    GradientState._reset_state()
    return Accelerator(mixed_precision=MIXED_PRECISION[precision])


def mixed_precision_dtype(precision: str) -> torch.dtype | None:
    """What autocast computes in; None for full precision."""
    return {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision)


def make_optimizer(
    model: torch.nn.Module, choices: Mapping[str, Scalar], device: torch.device = CPU
) -> torch.optim.Optimizer:
    """AdamW (fused: nine times faster on CPUs) or SGD; weight decay spares biases and norms (vectors).

    device: where the parameters will be. On a GPU, AdamW has its rate and step count there, so that CUDA graphs can hold it.
    """
    trained = [p for p in model.parameters() if p.requires_grad]
    decay = float(choices["weight_decay"] or 0.0)
    groups: list[dict[str, Any]] = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    rate = float(choices["learning_rate"] or 0.0)
    if choices["optimizer"] == "sgd":
        return DecoupledSGD(groups, lr=rate, momentum=0.9)
    if device.type == "cuda":
        for group in groups:
            group["lr"] = torch.tensor(rate, device=device)
    return torch.optim.AdamW(groups, lr=rate, fused=True, capturable=device.type == "cuda")


class DecoupledSGD(torch.optim.SGD):
    """SGD whose weight decay shrinks the weights beside the gradient step (Loshchilov and Hutter 2019, SGDW)."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        decays = [group["weight_decay"] for group in self.param_groups]
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.mul_(1.0 - group["lr"] * group["weight_decay"])
            group["weight_decay"] = 0.0
        result = super().step(closure)
        for group, decay in zip(self.param_groups, decays, strict=True):
            group["weight_decay"] = decay
        return result


def count_parameters(model: torch.nn.Module) -> tuple[int, int]:
    """(trainable, total) parameters; 4-bit weights count by their unpacked shape."""
    trainable = total = 0
    for parameter in model.parameters():
        state = getattr(parameter, "quant_state", None)
        n = state.shape.numel() if state is not None else parameter.numel()
        total += n
        trainable += n if parameter.requires_grad else 0
    return trainable, total
