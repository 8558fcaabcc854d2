"""Lets a language model write: greedily, in batches, with its keys and values kept."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from peftcost.core.setup import WEIGHTS, Setup
from peftcost.data.features import Split
from peftcost.engine.dataset import DatasetInfo
from peftcost.engine.evaluate import batches_by_length
from peftcost.methods import get_method

NEW_TOKENS = 256
"""At most so many are written, and no more than the model's positions have room for."""


def generate(
    model: torch.nn.Module,
    split: Split,
    pad_id: int,
    end_ids: Sequence[int],
    max_positions: int,
    device: torch.device,
    new_tokens: int = NEW_TOKENS,
) -> list[list[int]]:
    """What the model writes behind each example's tokens, without the end token, in the split's order.

    Prompts are padded on the left, so that all of a batch end where writing begins; of one that leaves no room the end is
    kept. An encoder reads them apart from what its decoder writes: they are padded on the right. max_positions: of prompt
    and answer, without virtual tokens.
    """
    model.eval()
    found: dict[int, list[int]] = {}
    apart = bool(model.config.is_encoder_decoder)  # type: ignore[union-attr]
    room = max(1, min(new_tokens, max_positions // 2))
    longest = max_positions if apart else max_positions - room
    for indices in batches_by_length(split.lengths, np.arange(len(split))):
        prompts = [split.columns["input_ids"][int(i)][-longest:].tolist() for i in indices]
        ids, mask = side_by_side(prompts, pad_id, on_the_left=not apart)
        with torch.inference_mode():
            out = model.generate(  # type: ignore[operator]
                input_ids=ids.to(device),
                attention_mask=mask.to(device),
                max_new_tokens=room,
                do_sample=False,
                num_beams=1,
                use_cache=True,
                eos_token_id=list(end_ids) or None,
                pad_token_id=pad_id,
            )
        for i, tokens in zip(indices, out[:, 1 if apart else ids.shape[1] :].tolist(), strict=True):
            found[int(i)] = until_end(tokens, end_ids)
    return [found[i] for i in range(len(split))]


def room_of(info: DatasetInfo, setup: Setup) -> int:
    """Positions for prompt and answer."""
    return info.max_positions - get_method(setup.method).virtual_tokens(setup.hyperparameters)


def texts_of(
    model: torch.nn.Module,
    split: Split,
    info: DatasetInfo,
    processor: str,
    setup: Setup | None,
    device: torch.device,
    new_tokens: int = NEW_TOKENS,
) -> list[dict[str, Any]]:
    """What the model writes of each example of a split of prompts, as the task type words it. processor: its folder. setup:
    None for a base as it comes."""
    kind = info.task_type
    loaded = kind.processor(processor)
    pad_id, room = int(info.padding["input_ids"]), info.max_positions if setup is None else room_of(info, setup)
    with mixed_types(setup, device):
        tokens = generate(model, split, pad_id, kind.end_tokens(loaded), room, device, new_tokens)
    return [kind.written(loaded, some) for some in tokens]


def mixed_types(setup: Setup | None, device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """A context in which a model writes that holds some parameters in bf16 and others in fp32: writing calls an encoder, or
    what PEFT has wrapped, past the forward pass that Accelerate lets choose types."""
    if setup is None or setup.hyperparameters.get(WEIGHTS) != "bf16":
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)


def side_by_side(prompts: Sequence[Sequence[int]], pad_id: int, on_the_left: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and mask, both of shape (rows, width), padded on this side."""
    width = max(len(prompt) for prompt in prompts)
    ids, mask = torch.full((len(prompts), width), pad_id), torch.zeros(len(prompts), width, dtype=torch.long)
    for row, prompt in enumerate(prompts):
        own = slice(width - len(prompt), width) if on_the_left else slice(len(prompt))
        ids[row, own], mask[row, own] = torch.tensor(prompt), 1
    return ids, mask


def until_end(tokens: Sequence[int], end_ids: Sequence[int]) -> list[int]:
    """The tokens before the first that ends a text."""
    ends = [i for i, token in enumerate(tokens) if token in end_ids]
    return list(tokens[: ends[0]] if ends else tokens)
