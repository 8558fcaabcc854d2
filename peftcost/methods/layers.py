"""Finding a base's transformer layers and linear layers, so that no architecture is named."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optuna.distributions import CategoricalDistribution

from peftcost.core.setup import Scalar
from peftcost.methods.head import head_names

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


TOP_LAYERS = CategoricalDistribution((None, 2, 4))
"""Where a method is placed: in all layers, or in the upper ones alone, which is cheaper: see `Method.frozen_depth`."""


def transformer_layers(model: torch.nn.Module) -> tuple[str, torch.nn.ModuleList]:
    """The name and the list of the base's layers: the longest ModuleList, of those that hold linear layers if any does; of an
    encoder with a decoder, the encoder's. LookupError if there is none."""
    import torch

    both = layer_stacks(model)
    if both:
        return both[0]
    lists = [(name, m) for name, m in model.named_modules() if isinstance(m, torch.nn.ModuleList)]
    if not lists:
        raise LookupError("the model has no list of layers")
    return max(lists, key=lambda item: (any(map(is_linear, item[1].modules())), len(item[1])))


def body_prefix(model: PreTrainedModel) -> str:
    """How the names begin of all that the head stands on. (Whisper's encoder is not called what its class says.)"""
    prefix = model.base_model_prefix
    return f"{prefix if hasattr(model, prefix) else transformer_layers(model)[0].partition('.')[0]}."


def layer_stacks(model: torch.nn.Module) -> list[tuple[str, torch.nn.ModuleList]]:
    """Names and layers of the encoder and of the decoder; none where the model has not both."""
    import torch

    if not getattr(getattr(model, "config", None), "is_encoder_decoder", False):
        return []
    found: dict[str, tuple[str, torch.nn.ModuleList]] = {}
    for name, module in model.named_modules():
        side = next((part for part in ("encoder", "decoder") if f".{part}." in f".{name}"), None)
        if side is not None and side not in found and isinstance(module, torch.nn.ModuleList):
            found[side] = name, module  # the outermost list comes first
    return [found["encoder"], found["decoder"]] if len(found) == 2 else []


def count_layers(model: torch.nn.Module) -> int:
    """Of the base; 0 where it has no list of layers."""
    try:
        return len(transformer_layers(model)[1])
    except LookupError:
        return 0


def layer_names(model: torch.nn.Module, top_layers: Scalar = None) -> tuple[str, ...]:
    """Names of the transformer layers, of the top k or of all (None), each with a dot behind; of an encoder with a
    decoder, of both."""
    names: list[str] = []
    for prefix, layers in layer_stacks(model) or [transformer_layers(model)]:
        first = 0 if top_layers is None else max(0, len(layers) - int(top_layers))
        names += [f"{prefix}.{i}." for i in range(first, len(layers))]
    return tuple(names)


def linear_names(model: torch.nn.Module, top_layers: Scalar = None) -> list[str]:
    """Names of the linear layers inside the transformer layers (quantized ones and GPT-2's `Conv1D` too), of the top k or of
    all. LookupError where there is none, as in a network of convolutions alone."""
    inside = layer_names(model, top_layers)
    found = [n for n, module in model.named_modules() if n.startswith(inside) and is_linear(module)]
    if not found:
        raise LookupError(f"the layers in {transformer_layers(model)[0]} hold no linear layer")
    return found


def is_linear(module: torch.nn.Module) -> bool:
    """Whether it is a linear layer; GPT-2's `Conv1D` is one."""
    import torch
    from transformers.pytorch_utils import Conv1D

    return isinstance(module, torch.nn.Linear | Conv1D)


def freeze_all_but(model: torch.nn.Module, trained: tuple[str, ...]) -> None:
    """Train exactly the parameters whose name starts with one of the prefixes, or has it after a dot, and the head."""
    wanted = (*trained, *(f"{name}." for name in head_names(model)))
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(any(f".{part}" in f".{name}" for part in wanted))


def trained_tensors(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """What is trained, by name, as safetensors writes it."""
    return {name: p.detach().contiguous().cpu() for name, p in model.named_parameters() if p.requires_grad}


def peft_task_type(model: torch.nn.Module) -> str | None:
    """PEFT's name for what the model class does; None where it takes no tokens, of which PEFT knows no task."""
    name = type(model).__name__
    if getattr(model, "main_input_name", "input_ids") != "input_ids":
        return None
    if "SequenceClassification" in name:
        return "SEQ_CLS"
    if "TokenClassification" in name:
        return "TOKEN_CLS"
    return "SEQ_2_SEQ_LM" if name.endswith("ForConditionalGeneration") else "CAUSAL_LM"
