"""LoRA: low-rank updates of the linear layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

from peftcost.core.setup import Scalar
from peftcost.methods.layers import TOP_LAYERS
from peftcost.methods.peft_method import PeftMethod, adaptable_names

if TYPE_CHECKING:
    from peft import PeftConfig
    from transformers import PreTrainedModel


class Lora(PeftMethod):
    """All linear layers; the best rate is about ten times full fine-tuning's and depends little on the rank
    (Schulman et al. 2025, "LoRA Without Regret").

    alpha_over_rank: alpha as a multiple of the rank. rslora: scale by alpha / sqrt(rank) (Kalajdzievski 2023,
    arXiv:2312.03732). dora: split weights into magnitude and direction (Liu et al. 2024, arXiv:2402.09353).
    top_layers: adapters in the upper k layers only, None for all.
    """

    name = "lora"
    trains = "low-rank updates of all linear layers, and the head"
    citation = "Hu et al. 2021, LoRA, arXiv:2106.09685"
    default = True
    priority = 30

    def space(self) -> dict[str, BaseDistribution]:
        return {
            "learning_rate": FloatDistribution(1e-4, 5e-3, log=True),
            "rank": CategoricalDistribution((4, 8, 16, 32)),
            "rslora": CategoricalDistribution((False, True)),
            "dora": CategoricalDistribution((False, True)),
            "top_layers": TOP_LAYERS,
        }

    def prior(self) -> dict[str, Scalar]:
        return {
            "learning_rate": 1e-3,
            "rank": 8,
            "alpha_over_rank": 2,
            "adapter_dropout": 0.0,
            "rslora": False,
            "dora": False,
            "top_layers": None,
        }

    def config(self, model: PreTrainedModel, choices: Mapping[str, Scalar], total_steps: int) -> PeftConfig:
        from peft import LoraConfig

        rank = int(choices["rank"] or 1)
        return LoraConfig(
            r=rank,
            lora_alpha=int(float(choices["alpha_over_rank"] or 1) * rank),
            lora_dropout=float(choices["adapter_dropout"] or 0.0),
            use_rslora=bool(choices["rslora"]),
            use_dora=bool(choices["dora"]),
            target_modules=adaptable_names(model, choices["top_layers"]),
            **self.with_head(model),
        )
