"""Attention over texts of any length that lie end to end, by torch's own flash kernel: a form of attention for transformers.

The kernel reads on the device where texts end, so a CUDA graph can hold it: of a batch the number of tokens, of ends and the
longest text are fixed, the ends are not. (torch.nn.attention.varlen; for Ampere GPUs and newer, in half precision.)
"""

from __future__ import annotations

import contextlib
import inspect
from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

varlen_attn: Any = None
with contextlib.suppress(ImportError):  # torch before 2.10
    from torch.nn.attention.varlen import varlen_attn

VARLEN = "varlen"
"""Its name among transformers' forms of attention."""
UNKNOWN = ("softcap", "s_aux", "position_bias")
"""What the attention of some bases has beside, and torch's kernel has not."""
OPTIONS = () if varlen_attn is None else tuple(inspect.signature(varlen_attn).parameters)
HAS_VARLEN = {"scale", "window_size"} <= set(OPTIONS)
"""From torch 2.11 on."""


def attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    cu_seq_lens_q: torch.Tensor | None = None,
    max_length_q: int = 0,
    sliding_window: int | None = None,
    **others: Any,
) -> tuple[torch.Tensor, None]:
    """query, key, value: shape (rows, heads, tokens, width). cu_seq_lens_q: where texts that lie end to end begin and end, of
    all rows one after the other; without it, SDPA computes.

    NotImplementedError where the base's attention has what the kernel has not.
    """
    if cu_seq_lens_q is None:
        if attention_mask is None and sliding_window is not None and query.shape[2] > sliding_window:
            attention_mask = window_mask(query.shape[2], sliding_window, query.device)
        return sdpa_attention_forward(module, query, key, value, attention_mask, dropout, scaling, **others)
    beside = [name for name in UNKNOWN if others.get(name) is not None] + (["dropout"] if dropout else [])
    if beside or query.shape[-1] != value.shape[-1]:
        raise NotImplementedError(f"torch's attention for texts end to end has no {', '.join(beside) or 'such values'}")
    kind = query.device.type
    mixed = torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)
    dtype = torch.get_autocast_dtype(kind) if mixed else query.dtype
    texts = [tensor.transpose(1, 2).flatten(0, 1).to(dtype) for tensor in (query, key, value)]
    window = (-1, 0) if sliding_window is None else (sliding_window - 1, 0)
    shared = {"enable_gqa": True} if "enable_gqa" in OPTIONS else {}  # before it was an option, heads could share keys, too
    ends, longest = cu_seq_lens_q, max_length_q
    out = varlen_attn(*texts, ends, ends, longest, longest, scale=scaling, window_size=window, **shared)
    return out.unflatten(0, (len(query), -1)), None


def mask(attention_mask: torch.Tensor | None = None, **others: Any) -> torch.Tensor | None:
    """None where texts lie end to end, whose ends are told otherwise, and in rows without a mask."""
    return None if attention_mask is None else sdpa_mask(attention_mask=attention_mask, **others)


def window_mask(tokens: int, window: int, device: torch.device) -> torch.Tensor:
    """Of rows: each token sees so many, itself and those before it."""
    at = torch.arange(tokens, device=device)
    behind = at[:, None] - at
    return ((behind >= 0) & (behind < window))[None, None]


AttentionInterface.register(VARLEN, attention)
AttentionMaskInterface.register(VARLEN, mask)
