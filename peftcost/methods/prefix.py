"""Prefix tuning: trained keys and values in front of every attention layer's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

from peftcost.core.setup import Scalar
from peftcost.methods.peft_method import PeftMethod

if TYPE_CHECKING:
    from peft import PeftConfig
    from transformers import PreTrainedModel


class Prefix(PeftMethod):
    """Without the reparametrization network: with a well-chosen rate it is not needed (P-Tuning v2, section 3.2)."""

    name = "prefix"
    trains = "virtual keys and values in every layer, and the head"
    citation = "Li and Liang 2021, arXiv:2101.00190; Liu et al. 2022, P-Tuning v2, arXiv:2110.07602"
    funding_rank = 91
    merges = False

    def space(self) -> dict[str, BaseDistribution]:
        return {
            "learning_rate": FloatDistribution(1e-3, 5e-2, log=True),
            "virtual_tokens": CategoricalDistribution((8, 16, 32)),
        }

    def prior(self) -> dict[str, Scalar]:
        return {"learning_rate": 1e-2, "virtual_tokens": 16}

    def virtual_tokens(self, choices: Mapping[str, Scalar]) -> int:
        return int(choices["virtual_tokens"] or 0)

    def config(self, model: PreTrainedModel, choices: Mapping[str, Scalar], total_steps: int) -> PeftConfig:
        from peft import PrefixTuningConfig

        return PrefixTuningConfig(num_virtual_tokens=self.virtual_tokens(choices), **self.shared(model))
