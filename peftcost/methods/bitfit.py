"""BitFit: the bias terms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from optuna.distributions import BaseDistribution, FloatDistribution

from peftcost.core.setup import Scalar
from peftcost.methods.layers import TOP_LAYERS, freeze_all_but, layer_names
from peftcost.methods.plain import PlainMethod

if TYPE_CHECKING:
    import torch
    from transformers import PretrainedConfig, PreTrainedModel


class BitFit(PlainMethod):
    """Rates of 1e-4 to 1e-2 (section 4 and appendix A.2 of the paper)."""

    name = "bitfit"
    trains = "every bias, and the head"
    citation = "Ben Zaken et al. 2022, BitFit, arXiv:2106.10199"
    priority = 60

    def space(self) -> dict[str, BaseDistribution]:
        return {"learning_rate": FloatDistribution(1e-4, 1e-2, log=True), "top_layers": TOP_LAYERS}

    def prior(self) -> dict[str, Scalar]:
        return {"learning_rate": 1e-3, "top_layers": None}

    def unsupported_reason(self, config: PretrainedConfig, device_kind: str = "cpu") -> str | None:
        if getattr(config, "attention_bias", None) is False and not getattr(config, "mlp_bias", False):
            return f"the linear layers of {config.model_type} have no biases to train"
        return super().unsupported_reason(config, device_kind)

    def apply(self, model: PreTrainedModel, choices: Mapping[str, Scalar], total_steps: int) -> torch.nn.Module:
        freeze_all_but(model, ())
        inside = ("",) if choices["top_layers"] is None else layer_names(model, choices["top_layers"])
        for name, parameter in model.named_parameters():
            if name.endswith(".bias") and name.startswith(inside):
                parameter.requires_grad_(True)
        if not any(parameter.requires_grad for parameter in model.parameters()):
            raise ValueError("it has nothing to train: this base has no biases")
        return model
