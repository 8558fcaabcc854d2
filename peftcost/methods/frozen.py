"""A frozen base: only the head is trained, or the head with the top k layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

from peftcost.core.setup import Scalar
from peftcost.methods.layers import freeze_all_but, layer_names
from peftcost.methods.plain import PlainMethod

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


class Frozen(PlainMethod):
    """top_layers: how many layers below the head are trained with it; 0 is linear probing (with the pooler)."""

    name = "frozen"
    trains = "the head, and the top_layers layers below it"
    citation = "Howard and Ruder 2018, ULMFiT, arXiv:1801.06146; Kumar et al. 2022, arXiv:2202.10054"
    default = True
    priority = 10
    needs_fresh_head = True

    def space(self) -> dict[str, BaseDistribution]:
        return {
            "learning_rate": FloatDistribution(1e-4, 1e-2, log=True),
            "top_layers": CategoricalDistribution((0, 1, 2)),
        }

    def prior(self) -> dict[str, Scalar]:
        return {"learning_rate": 2e-3, "top_layers": 0}

    def apply(self, model: PreTrainedModel, choices: Mapping[str, Scalar], total_steps: int) -> torch.nn.Module:
        freeze_all_but(model, layer_names(model, choices["top_layers"]))
        if not any(parameter.requires_grad for parameter in model.parameters()):
            raise ValueError("it has nothing to train: this base brings its own head, which stays; set top_layers to 1 or 2")
        return model
