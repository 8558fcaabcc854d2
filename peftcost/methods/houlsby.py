"""Houlsby adapters: a bottleneck after the attention and after the feed-forward of each layer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

from peftcost.core.setup import Scalar
from peftcost.methods.base import Method
from peftcost.methods.layers import (
    TOP_LAYERS,
    freeze_all_but,
    layer_names,
    layer_stacks,
    linear_names,
    trained_tensors,
    transformer_layers,
)

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

OUTPUTS = (
    *("output.dense", "o_proj", "out_proj", "down_proj", "fc2", "out_lin", "lin2", "c_proj"),
    *("attention.dense", "dense_4h_to_h"),
)
"""Last linear layers of attention and feed-forward blocks, in the namings of transformers."""


class Houlsby(Method):
    """h + W_up gelu(W_down h) on the output of each block (figure 2); W_up starts at zero, so training starts at the
    base. Neither PEFT nor transformers has it, so plain code needs this file to load it."""

    name = "houlsby"
    trains = "bottleneck adapters after attention and feed-forward, the norms, and the head"
    citation = "Houlsby et al. 2019, arXiv:1902.00751"
    priority = 62

    def space(self) -> dict[str, BaseDistribution]:
        return {
            "learning_rate": FloatDistribution(1e-4, 5e-3, log=True),
            "bottleneck": CategoricalDistribution((8, 16, 32, 64)),
            "top_layers": TOP_LAYERS,
        }

    def prior(self) -> dict[str, Scalar]:
        return {"learning_rate": 1e-3, "bottleneck": 32, "top_layers": None}

    def apply(self, model: PreTrainedModel, choices: Mapping[str, Scalar], total_steps: int) -> torch.nn.Module:
        insert(model, int(choices["bottleneck"] or 1), choices["top_layers"])
        freeze_all_but(model, ("adapter.",))
        inside = ("",) if choices["top_layers"] is None else layer_names(model, choices["top_layers"])
        for name, parameter in model.named_parameters():
            if "norm" in name.lower() and name.startswith(inside):
                parameter.requires_grad_(True)
        return model

    def save(self, model: torch.nn.Module, folder: Path) -> None:
        from safetensors.torch import save_file

        trained = trained_tensors(model)
        save_file(trained, folder / "houlsby.safetensors")
        sizes = [len(t) for name, t in trained.items() if name.endswith("adapter.down.weight")]
        stacks = [f"{prefix}." for prefix, _ in layer_stacks(model) or [transformer_layers(model)]]
        layers = [{n.removeprefix(stack).partition(".")[0] for n in trained if n.startswith(stack)} for stack in stacks]
        facts = {"bottleneck": sizes[0], "top_layers": max(map(len, layers))}
        (folder / "houlsby.json").write_text(json.dumps(facts), encoding="utf-8")

    def load(self, base: PreTrainedModel, folder: Path) -> torch.nn.Module:
        from safetensors.torch import load_file

        facts = json.loads((folder / "houlsby.json").read_text(encoding="utf-8"))
        insert(base, facts["bottleneck"], facts.get("top_layers"))
        saved = load_file(folder / "houlsby.safetensors", device=str(base.device))
        missing = saved.keys() - dict(base.named_parameters()).keys()
        if missing:
            raise LookupError(f"{folder} is an adapter of another model: it has {min(missing)}")
        base.load_state_dict(saved, strict=False, assign=True)  # as saved: copied into bf16, trained norms would be rounded
        return base.eval()


def insert(model: torch.nn.Module, bottleneck: int, top_layers: Scalar) -> None:
    """Put an adapter behind each block's last linear layer, in the top k layers or in all (None).

    LookupError if the model has none that we know.
    """
    import torch

    class Adapter(torch.nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.down = torch.nn.Linear(width, bottleneck)
            self.up = torch.nn.Linear(bottleneck, width)
            torch.nn.init.normal_(self.down.weight, std=0.01)
            for tensor in (self.down.bias, self.up.weight, self.up.bias):
                torch.nn.init.zeros_(tensor)

        def forward(self, hidden: torch.Tensor) -> torch.Tensor:
            return hidden + self.up(torch.nn.functional.gelu(self.down(hidden)))

    def adapt(module: torch.nn.Module, _: object, output: torch.Tensor) -> torch.Tensor:
        return module.adapter(output)  # type: ignore[operator]

    targets = [name for name in linear_names(model, top_layers) if name.endswith(OUTPUTS)]
    if not targets:
        raise LookupError(f"no known block outputs in {transformer_layers(model)[0]}; use lora")
    for name in targets:
        linear = model.get_submodule(name)
        linear.adapter = Adapter(out_features(linear)).to(linear.weight.device)  # type: ignore[arg-type]
        linear.register_forward_hook(adapt)


def out_features(linear: torch.nn.Module) -> int:
    """Of a linear layer, or of GPT-2's `Conv1D`, which calls them nf."""
    return int(getattr(linear, "out_features", 0) or getattr(linear, "nf"))  # noqa: B009  (torch types all attributes alike)
