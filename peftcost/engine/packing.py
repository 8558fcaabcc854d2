"""Lays a batch's texts end to end in one row, so that no padding is computed: for causal models.

Positions start anew with each text, from which transformers makes attention that keeps the texts apart. No architecture is
named: whoever gives the same logits for packed texts as for padded ones can be packed. Bidirectional models do not.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from peftcost.engine.frozen_layers import alike
from peftcost.engine.layout import ENDS, end_to_end
from peftcost.engine.wanted_logits import kept_of, seen_by_head
from peftcost.methods.head import outermost_head
from peftcost.tasks.batch import Batch


def packed_logits(model: torch.nn.Module, batch: Batch, pad_id: float, per_token: bool) -> torch.Tensor:
    """What the model gives for the padded batch, of shape (rows, classes) or (rows, width, classes), from one row of shape
    (1, tokens); of shape (n, classes) where only some logits are wanted. Behind a row's end the logits are 0; a whole row's
    are those at its last token that is not pad_id, as in transformers.

    LookupError where the model has no head that is known by name, or one that does not see every token.
    """
    if batch.kept is not None:
        laid = end_to_end(batch, 0, batch.width)
        with seen_by_head(model, kept_of(laid)):
            inputs = {name: tensor for name, tensor in laid.inputs.items() if name != ENDS}
            logits = model(**inputs, use_cache=False).logits
        if logits.ndim == 2:
            return logits
    input_ids, mask = batch.inputs["input_ids"], batch.inputs["attention_mask"]
    real = mask.bool()
    positions = (mask.cumsum(1) - 1)[real][None]
    inputs = {name: tensor[real][None] for name, tensor in batch.inputs.items() if name != "attention_mask"}
    seen: list[torch.Tensor] = []
    handle = outermost_head(model).register_forward_hook(lambda _module, _args, output: seen.append(output))
    try:
        model(**inputs, position_ids=positions, use_cache=False)
    finally:
        handle.remove()
    of_tokens = seen[-1][0]  # the head sees every token, also where the model then takes the last one's alone
    if of_tokens.shape[:-1] != positions.shape[1:]:  # indexing it would stop a GPU for good
        raise LookupError("the model's head does not see every token")
    if not per_token:
        lengths = mask.sum(1)
        last = (torch.arange(real.shape[1], device=real.device) * (input_ids != pad_id)).argmax(1)
        return of_tokens[lengths.cumsum(0) - lengths + last]
    logits = of_tokens.new_zeros(*real.shape, of_tokens.shape[-1])
    logits[real] = of_tokens
    return logits


def can_pack(model: torch.nn.Module, two_rows: Batch, pad_id: float) -> bool:
    """Whether two short texts get the same logits packed as padded. The mode (train, eval) is put back."""
    was_training = model.training
    model.eval()
    try:
        mask = two_rows.inputs["attention_mask"]
        ids = torch.where(mask == 1, two_rows.inputs["input_ids"], int(pad_id))
        batch = replace(two_rows, inputs={**two_rows.inputs, "input_ids": ids})
        with torch.no_grad():
            padded = model(**batch.inputs).logits.float()
            packed = packed_logits(model, batch, pad_id, padded.ndim == 3).float()
        real: Any = mask.bool() if padded.ndim == 3 else slice(None)
        return alike(padded[real], packed[real])
    except (LookupError, ValueError, TypeError, RuntimeError, AttributeError):
        return False  # it takes no positions, or its head is none that is known
    finally:
        model.train(was_training)
