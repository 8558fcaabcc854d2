"""How the texts of a causal base lie in a GPU's training steps: without a mask.

Padding stands behind a text, and no token of a causal base looks ahead. Without a mask, SDPA takes its flash kernel, which
computes half as much, and keys and values that heads share are not repeated. With one, it computes and keeps all of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch

from peftcost.core.setup import Scalar
from peftcost.methods import Method
from peftcost.tasks.batch import Batch

MASK = "attention_mask"


def goes_without_mask(model: torch.nn.Module, method: Method, choices: Mapping[str, Scalar]) -> bool:
    """Whether a GPU's steps give this model no mask.

    Its attention says itself that it is causal. In bf16 alone: the flash kernel takes neither fp32 nor older GPUs, and the one
    that torch would take then for shared keys keeps all probabilities. PEFT finds a text's end by the mask where it puts
    virtual tokens before it.
    """
    if choices["precision"] != "bf16" or method.virtual_tokens(choices):
        return False
    causal = [bool(module.is_causal) for module in model.modules() if hasattr(module, "is_causal")]
    return bool(causal) and all(causal) and getattr(model.config, "is_causal", True) is not False


def without_mask(batch: Batch) -> Batch:
    return replace(batch, inputs={name: tensor for name, tensor in batch.inputs.items() if name != MASK})
