"""How the texts of a causal base lie in a GPU's training steps: in rows without a mask, or end to end in one row.

Padding stands behind a text, and no token of a causal base looks ahead. Without a mask, SDPA takes its flash kernel, which
computes half as much, and keys and values that heads share are not repeated. With one, it computes and keeps all of it.
End to end, little is padded, too. That takes a form of attention that is told where texts end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from peftcost.core.setup import PACKING, Scalar
from peftcost.engine.frozen_layers import SAME_IN_HALF, alike
from peftcost.methods import Method
from peftcost.tasks.base import IGNORED
from peftcost.tasks.batch import Batch, EndToEnd

MASK, ENDS = "attention_mask", "cu_seq_lens_q"


def goes_without_mask(model: torch.nn.Module, method: Method, choices: Mapping[str, Scalar]) -> bool:
    """Whether a GPU's steps give this model no mask.

    Its attention says itself that it is causal. In bf16 alone: the flash kernel takes neither fp32 nor older GPUs, and what
    torch would take then for shared keys keeps all probabilities. By the mask PEFT finds a text's end where it puts virtual
    tokens before it, and `engine/packing.py` all texts.
    """
    if choices["precision"] != "bf16" or choices.get(PACKING) or method.virtual_tokens(choices):
        return False
    causal = [bool(module.is_causal) for module in model.modules() if hasattr(module, "is_causal")]
    return bool(causal) and all(causal) and getattr(model.config, "is_causal", True) is not False


def without_mask(batch: Batch) -> Batch:
    return replace(batch, inputs={name: tensor for name, tensor in batch.inputs.items() if name != MASK})


def end_to_end(batch: Batch, width: int, longest: int, most_texts: int = 0) -> Batch:
    """The texts of a padded batch, of whose tokens each has a target, behind each other in one row: at least so wide, filled
    up with texts of which no target counts. longest: tokens that no text has more of.

    Of one width, longest and most_texts, all tensors have one shape: a CUDA graph can read them.
    """
    real = batch.inputs[MASK].bool()
    lengths = real.sum(1)
    n = int(lengths.sum())
    width = max(width, n)
    n_fillers = -(-width // longest) + max(0, most_texts - batch.rows)
    fillers = n + longest * torch.arange(1, 1 + n_fillers)  # those that are not needed are empty, at the end
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
        inputs={**inputs, "position_ids": positions, ENDS: ends.to(torch.int32)[None]},
        targets=laid(targets, IGNORED),
        width=width,
        kept=kept,
        end_to_end=EndToEnd(batch.rows, longest),
    )


def under_each_other(rows: Sequence[Batch]) -> Batch:
    """Batches end to end, of one width and longest, as rows of one."""
    first = rows[0]
    kept = [row.kept + i * first.width for i, row in enumerate(rows) if row.kept is not None]
    told = [row.end_to_end for row in rows if row.end_to_end is not None]
    return replace(
        first,
        inputs={name: torch.cat([row.inputs[name] for row in rows]) for name in first.inputs},
        targets=torch.cat([row.targets for row in rows]),
        kept=torch.cat(kept) if kept else None,
        end_to_end=EndToEnd(sum(one.texts for one in told), told[0].longest),
    )


def arguments(batch: Batch) -> dict[str, Any]:
    """What the model is called with; where texts end, of all rows together, in the words of transformers'
    `FlashAttentionKwargs`."""
    if batch.end_to_end is None:
        return dict(batch.inputs)
    ends, longest = batch.inputs[ENDS], batch.end_to_end.longest
    starts = torch.arange(batch.rows, dtype=ends.dtype, device=ends.device) * batch.width
    ends = torch.nn.functional.pad((ends[:, 1:] + starts[:, None]).flatten(), (1, 0))
    return {**batch.inputs, ENDS: ends, "cu_seq_lens_k": ends, "max_length_q": longest, "max_length_k": longest}


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
