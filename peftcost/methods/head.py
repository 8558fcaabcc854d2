"""The task head: the part that no pretrained model brings, and that every method trains."""

from __future__ import annotations

HEAD_NAMES = ("classifier", "score", "qa_outputs", "lm_head", "pre_classifier")
"""Attribute names of heads in transformers; these are never quantized (a quantized head cannot be trained)."""

KEEP_IN_FULL_PRECISION = (*HEAD_NAMES, "pooler")
"""Passed as llm_int8_skip_modules, for 8 and for 4 bits."""
