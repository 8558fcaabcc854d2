"""Where inputs are cut when the task does not say. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from peftcost.errors import UserError

FITTING_SHARE = 0.99
"""Of the training examples, those that are not cut: one long example makes every batch that it stands in as long."""
SAMPLE = 2000
"""Examples whose lengths are looked at, evenly spaced."""
LARGEST_WIDTH = 8192
"""Tokens to which inputs are filled up at most, for bases that take none of other lengths."""
NO_LIMIT = 1_000_000
"""Tokens: more than anybody has."""


def usual_length(lengths: np.ndarray) -> int:
    """The tokens that `FITTING_SHARE` of the examples fit into. lengths: shape (n,)."""
    return int(np.quantile(lengths, FITTING_SHARE, method="higher"))


def sample_of(n: int) -> np.ndarray:
    """Positions of the `SAMPLE` of n examples."""
    return np.unique(np.linspace(0, n - 1, SAMPLE).astype(int)) if n else np.empty(0, int)


def table_positions(config: Mapping[str, Any]) -> int:
    """Rows of a base's position table, of its config.json; NO_LIMIT where it has none (T5, XLNet)."""
    found = config.get("max_position_embeddings", config.get("n_positions"))  # GPT-2's name for it
    return found if isinstance(found, int) and found > 0 else NO_LIMIT


def longest_input(config: Mapping[str, Any]) -> int:
    """The most tokens that a base of this config.json takes; NO_LIMIT where it has no limit."""
    return min(table_positions(config), only_width(config) or NO_LIMIT)


def only_width(config: Mapping[str, Any]) -> int | None:
    """The one number of tokens that a base of this config.json takes; None for one that takes others, too.

    Reformer's axial positions are trained all together."""
    if config.get("model_type") == "reformer" and config.get("axial_pos_embds", True):
        return math.prod(config.get("axial_pos_shape", (64, 64)))
    return None


def check_landmarks(config: Mapping[str, Any], name: str) -> None:
    """UserError for a Nystromformer that attends to means of stretches: transformers gives it a mask of another shape."""
    landmarks, whole = config.get("num_landmarks", 64), config.get("segment_means_seq_len", 64)
    if config.get("model_type") == "nystromformer" and landmarks != whole:
        raise UserError(
            f"{name} cannot be run: transformers makes no mask for a Nystromformer with {landmarks} landmarks of {whole} "
            "tokens; choose another base."
        )


def width_step(config: Mapping[str, Any]) -> int:
    """Of what the tokens of an input of a base of this config.json have to be a multiple: Reformer's chunks."""
    if config.get("model_type") != "reformer":
        return 1
    return math.lcm(*(config.get(f"{kind}_attn_chunk_length", 64) for kind in config.get("attn_layers", ())))


def filled_up(lengths: np.ndarray, config: Mapping[str, Any], max_length: int) -> np.ndarray:
    """The tokens of examples, shape (n,), with those with which each has to be filled up for a base of this config.json.

    FNet has no mask, so what it says of a text depends on the padding: all its inputs get the same."""
    if only_width(config) is not None or config.get("model_type") == "fnet":
        return np.full_like(lengths, max_length)
    step = width_step(config)
    return np.asarray(-(-lengths // step) * step)


def input_length(config: Mapping[str, Any], name: str, wanted: int | None, usual: int, positions: int) -> int:
    """At how many tokens inputs are cut. name: the base's. wanted: by the task, if it says a length. positions: the most.

    UserError for a base that takes no inputs of this length, or needs each filled up to more than LARGEST_WIDTH."""
    check_landmarks(config, name)
    only, step = only_width(config), width_step(config)
    taken = f"{only} tokens" if only else f"a multiple of {step} tokens"
    if (only or step) > LARGEST_WIDTH:
        raise UserError(
            f"{name} takes inputs of {taken} alone, to which each would be filled up; {LARGEST_WIDTH} are the most, so "
            "choose another base."
        )
    if wanted is not None and wanted != (only or wanted // step * step):
        raise UserError(f"{name} takes inputs of {taken} alone; set `max_length` so, or leave it out.")
    return min(only or wanted or -(-usual // step) * step, positions // step * step)
