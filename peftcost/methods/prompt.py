"""Prompt tuning: trained embeddings in front of the input."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

from peftcost.core.setup import Scalar
from peftcost.methods.peft_method import PeftMethod

if TYPE_CHECKING:
    from peft import PeftConfig
    from transformers import PreTrainedModel


class Prompt(PeftMethod):
    """The rate decides here too: .057 against .234 by it alone in PEFT's method comparison."""

    name = "prompt"
    trains = "virtual tokens in front of the input, and the head"
    citation = "Lester et al. 2021, arXiv:2104.08691"
    funding_rank = 90
    merges = False

    def space(self) -> dict[str, BaseDistribution]:
        return {
            "learning_rate": FloatDistribution(1e-3, 1e-1, log=True),
            "virtual_tokens": CategoricalDistribution((8, 16, 32)),
        }

    def prior(self) -> dict[str, Scalar]:
        return {"learning_rate": 1e-2, "virtual_tokens": 16}

    def virtual_tokens(self, choices: Mapping[str, Scalar]) -> int:
        return int(choices["virtual_tokens"] or 0)

    def config(self, model: PreTrainedModel, choices: Mapping[str, Scalar], total_steps: int) -> PeftConfig:
        from peft import PromptTuningConfig

        return PromptTuningConfig(num_virtual_tokens=self.virtual_tokens(choices), **self.shared(model))
