"""Prompt tuning: trained embeddings in front of the input."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

from peftcost.core.setup import Scalar
from peftcost.methods.virtual_tokens import VirtualTokens

if TYPE_CHECKING:
    import torch
    from peft import PeftConfig
    from transformers import PreTrainedModel


class Prompt(VirtualTokens):
    """The rate decides here too: .057 against .234 by it alone in PEFT's method comparison."""

    name = "prompt"
    trains = "virtual tokens in front of the input, and the head"
    citation = "Lester et al. 2021, arXiv:2104.08691"
    funding_rank = 90
    highest_rate = 1e-1

    def config(self, model: PreTrainedModel, choices: Mapping[str, Scalar], total_steps: int) -> PeftConfig:
        from peft import PromptTuningConfig

        embeddings = cast("torch.nn.Embedding", model.get_input_embeddings())
        width = embeddings.embedding_dim  # in some models not the hidden layers'
        return PromptTuningConfig(num_virtual_tokens=self.virtual_tokens(choices), token_dim=width, **self.with_head(model))
