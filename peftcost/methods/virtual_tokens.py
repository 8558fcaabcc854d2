"""What the methods share that put trained virtual tokens in front of the input."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

from peftcost.core.setup import Scalar
from peftcost.methods.head import fresh_modules
from peftcost.methods.peft_method import PeftMethod

if TYPE_CHECKING:
    import torch
    from peft import PeftModel
    from transformers import PretrainedConfig, PreTrainedModel


SIZES = {"num_layers": "num_hidden_layers", "token_dim": "hidden_size", "num_attention_heads": "num_attention_heads"}
"""What PEFT calls the sizes of a model, and under which names each configuration of transformers answers."""


class VirtualTokens(PeftMethod):
    """They count against the longest input that the model takes, and cannot be merged into the weights."""

    merges = False
    highest_rate = 5e-2

    def space(self) -> dict[str, BaseDistribution]:
        return {
            "learning_rate": FloatDistribution(1e-3, self.highest_rate, log=True),
            "virtual_tokens": CategoricalDistribution((8, 16, 32)),
        }

    def prior(self) -> dict[str, Scalar]:
        return {"learning_rate": 1e-2, "virtual_tokens": 16}

    def unsupported_reason(self, config: PretrainedConfig, device_kind: str = "cpu") -> str | None:
        if getattr(config, "is_encoder_decoder", False):
            return f"{self.name} does not fit models with an encoder and a decoder here; use lora"
        return super().unsupported_reason(config, device_kind)

    def apply(self, model: PreTrainedModel, choices: Mapping[str, Scalar], total_steps: int) -> torch.nn.Module:
        if model.main_input_name != "input_ids":
            raise LookupError(f"{self.name} puts virtual tokens before a text, and the base's input is none; use lora")
        if not hasattr(model.config.get_text_config(), "vocab_size"):  # CANINE reads characters
            raise LookupError(f"{self.name} puts virtual tokens before others, and this base has no vocabulary; use lora")
        return super().apply(model, choices, total_steps)

    def with_head(self, model: PreTrainedModel) -> dict[str, Any]:
        """Only what is new of the head: what the checkpoint has of it stays as it is. With the sizes of the model, which
        PEFT finds under a few names alone (not under DistilBERT's dim and n_heads)."""
        config = model.config.get_text_config()
        sizes = {ours: getattr(config, theirs, None) for ours, theirs in SIZES.items()}
        return {**self.shared(model), **sizes, "modules_to_save": list(fresh_modules(model)) or None}

    def virtual_tokens(self, choices: Mapping[str, Scalar]) -> int:
        return int(choices["virtual_tokens"] or 0)

    def placed(self, model: torch.nn.Module) -> None:
        """PEFT keeps the tokens' numbers on the CPU, makes a mask for them there, and copies both in each step."""
        device = next(model.parameters()).device
        if device.type != "cuda":
            return
        tokens = cast("PeftModel", model).prompt_tokens
        for name, numbers in tokens.items():
            tokens[name] = numbers.to(device)
        plain_forward = model.forward

        def forward(*args: Any, **kwargs: Any) -> Any:
            with device:  # what is made without naming a device is made there
                return plain_forward(*args, **kwargs)

        model.forward = forward
