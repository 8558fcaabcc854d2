"""How the texts of a causal base lie in a GPU's training steps: in rows without a mask, or end to end in one row.

Padding stands behind a text, and no token of a causal base looks ahead. Without a mask, SDPA takes its flash kernel, which
computes half as much, and keys and values that heads share are not repeated. With one, it computes and keeps all of it.
End to end, little is padded, too. That takes a form of attention that is told where texts end.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from peftcost.core.setup import Scalar
from peftcost.engine.frozen_layers import SAME_IN_HALF, alike
from peftcost.methods import Method
from peftcost.tasks.base import IGNORED
from peftcost.tasks.batch import Batch, EndToEnd

MASK, ENDS = "attention_mask", "cu_seq_lens_q"


def goes_without_mask(model: torch.nn.Module, method: Method, choices: Mapping[str, Scalar]) -> bool:
    """Whether a GPU's steps give this model no mask.

    Its attention says itself that it is causal. In bf16 alone: the flash kernel takes neither fp32 nor older GPUs, and what
    torch would take then for shared keys keeps all probabilities. PEFT finds a text's end by the mask where it puts virtual
    tokens before it.
    """
    if choices["precision"] != "bf16" or method.virtual_tokens(choices):
        return False
    causal = [bool(module.is_causal) for module in model.modules() if hasattr(module, "is_causal")]
    return bool(causal) and all(causal) and getattr(model.config, "is_causal", True) is not False


def without_mask(batch: Batch) -> Batch:
    return replace(batch, inputs={name: tensor for name, tensor in batch.inputs.items() if name != MASK})


def end_to_end(batch: Batch, width: int, longest: int) -> Batch:
    """The texts of a padded batch, of whose tokens each has a target, behind each other in one row: at least so wide, filled
    up with texts of which no target counts. longest: tokens that no text has more of.

    Of a width, number of texts and longest, all tensors have one shape: a CUDA graph can read them.
    """
    real = batch.inputs[MASK].bool()
    lengths = real.sum(1)
    n = int(lengths.sum())
    width = max(width, n)
    fillers = n + longest * torch.arange(1, 1 + -(-width // longest))  # those that are not needed are empty, at the end
    ends = torch.cat([lengths.new_zeros(1), lengths.cumsum(0), fillers.clamp(max=width)])

    def laid(tensor: torch.Tensor, filler: int) -> torch.Tensor:
        return torch.nn.functional.pad(tensor[real], (0, width - n), value=filler)[None]

    positions = laid(real.cumsum(1) - 1, 0)
    positions[0, n:] = torch.arange(width - n) % longest
    targets = batch.targets.clone()
    targets[:, 0] = IGNORED  # nothing of its own text precedes it
    inputs = {name: laid(tensor, 0) for name, tensor in batch.inputs.items() if name != MASK}
    kept = None if batch.kept is None else (real.flatten().cumsum(0) - 1)[batch.kept]
    return replace(
        batch,
        inputs={**inputs, "position_ids": positions, ENDS: ends.to(torch.int32)},
        targets=laid(targets, IGNORED),
        width=width,
        kept=kept,
        end_to_end=EndToEnd(batch.rows, longest),
    )


def arguments(batch: Batch) -> dict[str, Any]:
    """What the model is called with; where texts end in the words of transformers' `FlashAttentionKwargs`."""
    if batch.end_to_end is None:
        return dict(batch.inputs)
    longest = batch.end_to_end.longest
    return {**batch.inputs, "cu_seq_lens_k": batch.inputs[ENDS], "max_length_q": longest, "max_length_k": longest}


def check_end_to_end(model: torch.nn.Module, two_rows: Batch) -> None:
    """NotImplementedError where the model gives two texts that lie end to end other logits than in rows."""
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            in_rows = model(**two_rows.inputs).logits.float()
            in_one = model(**arguments(end_to_end(two_rows, 2 * two_rows.width, two_rows.width))).logits.float()
    finally:
        model.train(was_training)
    of_texts = in_rows[two_rows.inputs[MASK].bool()]
    if not alike(of_texts, in_one[0, : len(of_texts)], SAME_IN_HALF):
        raise NotImplementedError("the model does not keep texts apart that lie end to end")
