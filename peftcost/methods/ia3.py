"""IA3: learned scales on keys, values and feed-forward activations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from optuna.distributions import BaseDistribution, FloatDistribution

from peftcost.core.setup import Scalar
from peftcost.methods.layers import TOP_LAYERS, linear_names, transformer_layers
from peftcost.methods.peft_method import PeftMethod

if TYPE_CHECKING:
    from peft import PeftConfig
    from transformers import PreTrainedModel


WITH_QUERIES = ("c_attn", "Wqkv", "query_key_value", "qkv_proj")
"""Names of layers that hold queries too, which are scaled with them, as in PEFT's own table."""
KEYS_AND_VALUES = ("key", "value", "key_proj", "value_proj", "k_proj", "v_proj", "k_lin", "v_lin", "k", "v", *WITH_QUERIES)
FEED_FORWARD_ENDS = ("down_proj", "fc2", "lin2", ".wo", "mlp.c_proj", "mlp.Wo", "ffn_output", "dense_4h_to_h")
"""Names in transformers."""


class IA3(PeftMethod):
    """Scales the outputs of key and value layers and the inputs of the feed-forward's last layer. The rate decides:
    1e-3 against the default moved it from .311 to .398 in PEFT's method comparison."""

    name = "ia3"
    trains = "a scale for each key, value and feed-forward activation, and the head"
    citation = "Liu et al. 2022, (IA)^3, arXiv:2205.05638"
    priority = 61

    def space(self) -> dict[str, BaseDistribution]:
        return {"learning_rate": FloatDistribution(1e-3, 5e-2, log=True), "top_layers": TOP_LAYERS}

    def prior(self) -> dict[str, Scalar]:
        return {"learning_rate": 1e-2, "top_layers": None}

    def config(self, model: PreTrainedModel, choices: Mapping[str, Scalar], total_steps: int) -> PeftConfig:
        from peft import IA3Config

        linear = linear_names(model, choices["top_layers"])
        scaled = [name for name in linear if name.rpartition(".")[2] in KEYS_AND_VALUES]
        last = [name for name in linear if name.endswith(FEED_FORWARD_ENDS) or is_bert_output(name)]
        if not scaled:
            raise LookupError(f"(IA)^3 finds no key and value layers in {transformer_layers(model)[0]}")
        return IA3Config(target_modules=scaled + last, feedforward_modules=last, **self.with_head(model))


def is_bert_output(name: str) -> bool:
    """Whether this is the feed-forward's last layer in BERT's naming, not the attention's output."""
    return name.endswith("output.dense") and "attention" not in name
