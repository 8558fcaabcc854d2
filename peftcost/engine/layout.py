"""How the texts of a causal base lie in a GPU's training steps: in rows without a mask, or end to end in one row.

Padding stands behind a text, and no token of a causal base looks ahead. Without a mask, SDPA takes its flash kernel, which
computes half as much, and keys and values that heads share are not repeated. With one, it computes and keeps all of it.
End to end, little is padded, too. That takes a form of attention that is told where texts end.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS

from peftcost.core.setup import PACKING, Scalar
from peftcost.engine.attention import SDPA, TOLD_OF_ENDS
from peftcost.engine.frozen_layers import SAME_IN_HALF, alike
from peftcost.methods import Method
from peftcost.tasks.base import IGNORED
from peftcost.tasks.batch import Batch, EndToEnd

MASK, ENDS = "attention_mask", "cu_seq_lens_q"


def goes_without_mask(model: torch.nn.Module, method: Method, choices: Mapping[str, Scalar]) -> bool:
    """Whether a GPU's steps give this model no mask: its attention says itself that it is causal."""
    if not takes_no_mask(method, choices):
        return False
    causal = [bool(module.is_causal) for module in model.modules() if hasattr(module, "is_causal")]
    return bool(causal) and all(causal) and getattr(model.config, "is_causal", True) is not False


def takes_no_mask(method: Method, choices: Mapping[str, Scalar]) -> bool:
    """Whether such setups of a causal base take none.

    In bf16 alone: the flash kernel takes neither fp32 nor older GPUs, and what torch would take then for shared keys keeps
    all probabilities. By the mask PEFT finds a text's end where it puts virtual tokens before it, and `engine/packing.py` all
    texts.
    """
    return choices["precision"] == "bf16" and not choices.get(PACKING) and not method.virtual_tokens(choices)


def without_mask(batch: Batch) -> Batch:
    return replace(batch, inputs={name: tensor for name, tensor in batch.inputs.items() if name != MASK}, unmasked=True)


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
    counted = torch.arange(1, 1 + n_fillers, device=real.device)
    fillers = n + longest * counted  # those that are not needed are empty, at the end
    ends = torch.cat([lengths.new_zeros(1), lengths.cumsum(0), fillers.clamp(max=width)])

    def laid(tensor: torch.Tensor, filler: int) -> torch.Tensor:
        return torch.nn.functional.pad(tensor[real], (0, width - n), value=filler)[None]

    positions = laid(real.cumsum(1) - 1, 0)
    positions[0, n:] = torch.arange(width - n, device=real.device) % longest
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


def lies_end_to_end(attention: str | None, method: Method, choices: Mapping[str, Scalar], per_position: bool) -> bool:
    """Whether texts of such setups lie end to end on a GPU, if the model keeps them apart.

    per_position: whether targets belong to positions. Layers that are left untouched hand on rows.
    """
    in_rows = not takes_no_mask(method, choices) or choices.get("top_layers") is not None
    return per_position and attention in TOLD_OF_ENDS and not in_rows


def keeps_apart(model: Any, two_rows: Batch) -> bool:
    """Whether the model, as it is trained, gives two texts that lie end to end the logits that it gives them in rows, and the
    second the same whatever the first is. False, too, where its attention has what is not computed in this form.

    Free of what could stop a GPU for good: positions and tokens are those of the rows.
    """
    if not getattr(model, "_supports_flash_attn", False):  # it has a mask of its own (chunks)
        return False
    first = two_rows.inputs["input_ids"].clone()
    first[0] = 1
    other = replace(two_rows, inputs={**two_rows.inputs, "input_ids": first})
    was_training, device = model.training, two_rows.targets.device
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            model.train()
            _of_texts(model, two_rows)  # dropout of attention is refused
            model.eval()
            in_rows = model(**two_rows.inputs).logits.float()[two_rows.inputs[MASK].bool()]
            laid, beside_another = _of_texts(model, two_rows), _of_texts(model, other)
    except (RuntimeError, TypeError, ValueError):  # of the kernel, or of a model that takes no such arguments
        return False
    finally:
        model.train(was_training)
    second = slice(int(two_rows.inputs[MASK][0].sum()), None)
    return alike(in_rows, laid, SAME_IN_HALF) and alike(laid[second], beside_another[second])


def _of_texts(model: torch.nn.Module, two_rows: Batch) -> torch.Tensor:
    """Logits of the texts' tokens, shape (tokens, vocabulary), from one row that is filled up."""
    laid = end_to_end(two_rows, 2 * two_rows.width, two_rows.width)
    return model(**arguments(laid)).logits.float()[0, : int(two_rows.inputs[MASK].sum())]


@contextlib.contextmanager
def causal_alone(batch: Batch) -> Iterator[None]:
    """Within this context transformers makes no mask for a batch that has none, also while a graph is captured: then it reads
    no numbers, and makes one to be sure."""
    if not batch.unmasked:
        yield
        return
    plain = ALL_MASK_ATTENTION_FUNCTIONS[SDPA]

    def mask(**given: Any) -> torch.Tensor | None:
        window = given.get("local_size")
        if given.get("attention_mask") is None and (window is None or given["kv_length"] < window):
            return None
        return plain(**given)

    ALL_MASK_ATTENTION_FUNCTIONS[SDPA] = mask
    try:
        yield
    finally:
        ALL_MASK_ATTENTION_FUNCTIONS[SDPA] = plain
