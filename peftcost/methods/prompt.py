"""Prompt tuning: trained embeddings in front of the input."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from peftcost.core.setup import Scalar
from peftcost.methods.head import outermost_head
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
    priority = 90
    highest_rate = 1e-1

    def apply(self, model: PreTrainedModel, choices: Mapping[str, Scalar], total_steps: int) -> torch.nn.Module:
        return classifying_at_the_last_token(super().apply(model, choices, total_steps))

    def load(self, base: PreTrainedModel, folder: Path) -> torch.nn.Module:
        return classifying_at_the_last_token(super().load(base, folder))

    def config(self, model: PreTrainedModel, choices: Mapping[str, Scalar], total_steps: int) -> PeftConfig:
        from peft import PromptTuningConfig

        try:
            width = cast("torch.nn.Embedding", model.get_input_embeddings()).embedding_dim
        except (NotImplementedError, AttributeError) as error:
            raise LookupError(f"{self.name} needs a table of token embeddings, and this base has none; use lora") from error
        known = self.with_head(model)
        heads = known["num_attention_heads"] or 1  # PEFT asks for them, and does not use them here
        its_own = {"token_dim": width, "num_attention_heads": heads}  # in some models the width is not the hidden layers'
        return PromptTuningConfig(num_virtual_tokens=self.virtual_tokens(choices), **{**known, **its_own})


def classifying_at_the_last_token(model: torch.nn.Module) -> torch.nn.Module:
    """Let a decoder that classifies a text by its last token do so when it gets embeddings, as PEFT passes them.

    transformers then cannot see where a text ends, and takes the last position, which is padding in all but the longest rows.
    """
    import torch

    plain_forward = model.forward

    def forward(*args: Any, attention_mask: Any = None, **kwargs: Any) -> Any:
        heads: list[Any] = []
        try:
            handle = outermost_head(model).register_forward_hook(lambda _module, _args, output: heads.append(output))
        except LookupError:
            return plain_forward(*args, attention_mask=attention_mask, **kwargs)
        try:
            output = plain_forward(*args, attention_mask=attention_mask, **kwargs)
        finally:
            handle.remove()
        of_tokens = heads[-1]
        if attention_mask is not None and of_tokens.ndim == 3 and output.logits.ndim == 2:
            rows, width = attention_mask.shape
            at = torch.arange(width, device=of_tokens.device)
            own = of_tokens[:, -width:]  # without the virtual tokens in front
            output.logits = own[torch.arange(rows, device=of_tokens.device), (at * attention_mask).argmax(1)]
        return output

    model.forward = forward
    return model
