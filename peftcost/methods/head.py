"""The task head: the part that no pretrained model brings, and that every method trains."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

HEAD_NAMES = ("classifier", "score", "qa_outputs", "lm_head", "pre_classifier")
"""Attribute names of heads in transformers; these are never quantized (a quantized head cannot be trained)."""

KEEP_IN_FULL_PRECISION = (*HEAD_NAMES, "pooler")
"""Passed as llm_int8_skip_modules, for 8 and for 4 bits."""


def head_names(model: torch.nn.Module) -> list[str]:
    """Names of the direct children of a classification model that are its head, for example ["classifier"]."""
    return [name for name, _ in model.named_children() if name in HEAD_NAMES]
