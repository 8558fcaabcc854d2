"""What all task types share whose answers are texts that the model writes, token by token."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np

from peftcost.data.cells import LOOKED_AT
from peftcost.data.features import Split
from peftcost.data.guess import COMPLETIONS, holds
from peftcost.data.table import Table
from peftcost.tasks.base import IGNORED, Example, Metric
from peftcost.tasks.batch import Batch
from peftcost.tasks.chat import end_tokens
from peftcost.tasks.targets import Targets, Tokens
from peftcost.tasks.text_inputs import TextInputs
from peftcost.tasks.text_metrics import WRITTEN_METRICS, text_scores
from peftcost.tasks.token_metrics import negative_loss, token_accuracy

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

INPUTS = ("input", "inputs")
PROMPTS = ("prompt", "question", "query", "user", *INPUTS)
"""What data files call what is read."""


class WritesText(TextInputs):
    """An example's completion is what would be right to write. A pretrained head predicts the tokens, so nothing is fresh.

    Rows for the metrics: (summed loss, tokens, right tokens) of an example's counted tokens.
    """

    input_roles = ("prompt",)
    target_roles = ("completion",)
    described = ("completion",)
    metrics = {  # noqa: RUF012
        "negative_loss": Metric("negative_loss", 0.02, negative_loss, (-math.inf, 0.0)),
        "token_accuracy": Metric("token_accuracy", 0.01, token_accuracy),
    }
    generates = True
    per_token = True
    fresh_head = False
    written_metrics = WRITTEN_METRICS

    @abstractmethod
    def wanted(self, batch: Batch) -> torch.Tensor:
        """The token that each position is to predict, or IGNORED; shape (rows, width)."""

    @abstractmethod
    def spoken(self, logits: torch.Tensor, batch: Batch) -> torch.Tensor:
        """The logits of these positions, shape (rows, width, vocabulary). It may be handed hidden states in their place."""

    def targets(self, train: Sequence[Example]) -> Targets:
        return Tokens()

    def answer(self, example: Example) -> None:
        """One prompt may have several answers: a language model learns how likely each is."""

    def model_options(self, targets: Targets) -> dict[str, Any]:
        return {}

    def dummy_targets(self, rows: int, width: int) -> torch.Tensor:
        import torch

        return torch.zeros(rows, width, dtype=torch.long)

    def loss(self, logits: torch.Tensor, batch: Batch, label_smoothing: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
        from peftcost.tasks.chunked_loss import summed_cross_entropy
        from peftcost.tasks.lazy_logits import by_rows

        own, gold = self._pairs(logits, batch)
        own = by_rows(own, lambda every: every.flatten(0, -2))
        return summed_cross_entropy(own, gold.flatten(), label_smoothing), (gold != IGNORED).sum()

    def predict(self, logits: torch.Tensor, batch: Batch, targets: Targets) -> np.ndarray:
        """Row by row, and of the counted tokens alone: a vocabulary is large."""
        from torch.nn.functional import cross_entropy

        from peftcost.tasks.lazy_logits import by_rows

        own, gold = self._pairs(logits, batch)
        counts = (self.wanted(batch) != IGNORED).sum(1).tolist()

        def apart(every: torch.Tensor) -> Sequence[torch.Tensor]:
            return every.split(counts) if gold.ndim == 1 else tuple(every)

        rows = []
        for of_row, wanted in zip(by_rows(own, apart), apart(gold), strict=True):
            counted = wanted != IGNORED
            some, right = by_rows(of_row, itemgetter(counted)).float(), wanted[counted]
            hits = int((some.argmax(-1) == right).sum())
            rows.append((float(cross_entropy(some, right, reduction="sum")), len(right), hits))
        return np.array(rows, dtype=np.float32).reshape(-1, 3)

    def _pairs(self, logits: torch.Tensor, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits and the tokens that they are to predict: of all positions, or of those kept."""
        from peftcost.tasks.lazy_logits import by_rows

        wanted = self.wanted(batch)
        if logits.ndim == 2:
            return logits, wanted.flatten()[batch.kept]
        return by_rows(logits, lambda every: self.spoken(every, batch)), wanted

    def describe(self, logits: torch.Tensor, batch: Batch, targets: Targets) -> list[dict[str, Any]]:
        return [{} for _ in range(batch.rows)]

    def reference(self, example: Example) -> str | None:
        return str(example["completion"])

    def end_tokens(self, processor: PreTrainedTokenizerBase) -> list[int]:
        return end_tokens(processor)

    def written(self, processor: PreTrainedTokenizerBase, tokens: Sequence[int]) -> dict[str, Any]:
        return {"completion": str(processor.decode(list(tokens), skip_special_tokens=True)).strip()}

    def score(self, written: Sequence[str], references: Sequence[str]) -> np.ndarray:
        return text_scores(written, references)


def named_pair(table: Table, sources: Sequence[str], writings: Sequence[str]) -> tuple[str | None, str | None]:
    """The column of the text that is read and of the one that is written: the first of these names that the file has."""
    names = {name.lower(): name for name in table.columns}
    read, written = (next((names[name] for name in known if name in names), None) for known in (sources, writings))
    return read, written


def prompts_and_completions(table: Table) -> tuple[str | None, str | None]:
    """Their columns, by name. Inputs whose outputs repeat may be texts with classes: then neither is known."""
    prompt, completion = named_pair(table, PROMPTS, COMPLETIONS)
    if prompt is not None and prompt.lower() in INPUTS and completion is not None and _repeats(table, completion):
        return None, None
    return prompt, completion


def _repeats(table: Table, column: str) -> bool:
    """Whether the first cells are no texts, or texts of which most stand there again."""
    cells = [row.get(column) for row in table.rows[:LOOKED_AT]]
    return not holds(table, column, str) or 2 * len(set(cells)) <= len(cells)


def counted_targets(split: Split, seen: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """How many of each example's targets count, shape (n,). seen: of first and last places, those that a batch keeps."""
    column = split.columns["targets"]
    assert column.offsets is not None
    counted = np.concatenate([[0], np.cumsum(column.values != IGNORED)])
    first, end = seen(column.offsets[:-1], column.offsets[1:])
    return np.asarray(counted[end] - counted[np.minimum(first, end)])
