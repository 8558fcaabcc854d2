"""Prefix tuning: trained keys and values in front of every attention layer's."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING

from peftcost.core.setup import Scalar
from peftcost.methods.virtual_tokens import VirtualTokens

if TYPE_CHECKING:
    from peft import PeftConfig
    from transformers import PreTrainedModel


class Prefix(VirtualTokens):
    """Without the reparametrization network: with a well-chosen rate it is not needed (P-Tuning v2, section 3.2)."""

    name = "prefix"
    trains = "virtual keys and values in every layer, and the head"
    citation = "Li and Liang 2021, arXiv:2101.00190; Liu et al. 2022, P-Tuning v2, arXiv:2110.07602"
    priority = 91

    def config(self, model: PreTrainedModel, choices: Mapping[str, Scalar], total_steps: int) -> PeftConfig:
        from peft import PrefixTuningConfig

        known = self.with_head(model)
        if not known["num_attention_heads"]:
            raise LookupError(f"{self.name} puts keys and values before those of attention, and this base has none; use lora")
        if not takes_keys_and_values(model):
            raise LookupError(f"{self.name} puts keys and values before those of attention, and it takes none; use lora")
        return PrefixTuningConfig(num_virtual_tokens=self.virtual_tokens(choices), **known)


def takes_keys_and_values(model: PreTrainedModel) -> bool:
    """Whether the model, or its body, takes keys and values from outside, as PEFT hands them over."""
    return any("past_key_values" in inspect.signature(one.forward).parameters for one in (model, model.base_model))
