"""Full fine-tuning: every parameter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from optuna.distributions import BaseDistribution, FloatDistribution

from peftcost.core.setup import Scalar
from peftcost.methods.plain import PlainMethod

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


class Full(PlainMethod):
    """Rates of 2e-5 to 5e-5 are BERT's (appendix A.3); small models take more."""

    name = "full"
    trains = "every parameter"
    citation = "Devlin et al. 2019, BERT, arXiv:1810.04805"
    default = True
    priority = 20
    trains_whole_base = True

    def space(self) -> dict[str, BaseDistribution]:
        return {"learning_rate": FloatDistribution(1e-5, 5e-4, log=True)}

    def prior(self) -> dict[str, Scalar]:
        return {"learning_rate": 1e-4}

    def apply(self, model: PreTrainedModel, choices: Mapping[str, Scalar], total_steps: int) -> torch.nn.Module:
        return model.requires_grad_(True)
