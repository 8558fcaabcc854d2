"""What all task types share whose answers are texts that the model writes, token by token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from peftcost.tasks.base import Example
from peftcost.tasks.chat import end_tokens
from peftcost.tasks.text_inputs import TextInputs
from peftcost.tasks.text_metrics import WRITTEN_METRICS, text_scores

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class WritesText(TextInputs):
    """An example's completion is what would be right to write."""

    generates = True
    per_token = True
    fresh_head = False
    written_metrics = WRITTEN_METRICS

    def reference(self, example: Example) -> str | None:
        return str(example["completion"])

    def end_tokens(self, processor: PreTrainedTokenizerBase) -> list[int]:
        return end_tokens(processor)

    def written(self, processor: PreTrainedTokenizerBase, tokens: Sequence[int]) -> dict[str, Any]:
        return {"completion": str(processor.decode(list(tokens), skip_special_tokens=True)).strip()}

    def score(self, written: Sequence[str], references: Sequence[str]) -> np.ndarray:
        return text_scores(written, references)
