"""Sequence to sequence: an encoder reads a text, a decoder writes another (T5, BART): summaries, translations, answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from peftcost.data.cells import text_of
from peftcost.data.features import Column, Split, padded, ragged
from peftcost.data.guess import LABEL_NAMES
from peftcost.data.table import Table
from peftcost.errors import UserError
from peftcost.tasks.base import IGNORED, Example
from peftcost.tasks.batch import Batch
from peftcost.tasks.preferences import check_no_preferences
from peftcost.tasks.targets import Targets
from peftcost.tasks.text_inputs import in_chunks, lengths_of
from peftcost.tasks.writing import WritesText, counted_targets, named_pair, prompts_and_completions

if TYPE_CHECKING:
    import torch
    from transformers import PretrainedConfig, PreTrainedTokenizerBase

KNOWN_PAIRS = (
    (("source",), ("target", "translation")),
    (("document", "article", "dialogue", "text"), ("summary", "highlights")),
)
"""What data files call the text that is read and the one that is written, where these are no prompts and completions. A text
with a target is one with a class."""


class Seq2Seq(WritesText):
    """Rows for the metrics: as of `causal-lm`, over the tokens of the completion and its end.

    The encoder reads the prompt as it stands: what the base was trained to see before it ("summarize: ") belongs in the data.
    """

    name = "seq2seq"
    auto_model = "AutoModelForSeq2SeqLM"
    pipeline_tag = "text2text-generation"
    precedence = 11
    default_model = "google-t5/t5-small"
    measured = "of a prompt or its completion, whichever is longer"

    def suits(self, config: Mapping[str, Any]) -> bool:
        return bool(config.get("is_encoder_decoder"))

    def guess_columns(self, table: Table, label: str | None) -> dict[str, str] | None:
        names = {name.lower(): name for name in table.columns}
        labels = set(names) & set(LABEL_NAMES)
        if label is not None or (labels and (labels != {"target"} or "text" in names)):
            return None
        pairs = [prompts_and_completions(table), *(named_pair(table, *known) for known in KNOWN_PAIRS)]
        for prompt, completion in pairs:
            if prompt is not None and completion is not None:
                return {"prompt": prompt, "completion": completion}
        check_no_preferences(table, self.name, pairs[0][0])
        return None

    def read(self, table: Table, columns: Mapping[str, str], labelled: bool = True) -> list[Example]:
        roles = self.roles if labelled else self.input_roles
        return [
            {role: text_of(row.get(columns[role]), f"{table.place(i)}, column {columns[role]!r}") for role in roles}
            | {"place": table.place(i)}
            for i, row in enumerate(table.rows)
        ]

    def content(self, example: Example) -> str:
        return " ".join(example["prompt"].split())

    def all_text(self, example: Example) -> str:
        return f"{example['prompt']}\n{example['completion']}"

    def encode(
        self, processor: PreTrainedTokenizerBase, examples: Sequence[Example], targets: Targets | None, max_length: int
    ) -> Split:
        """Both texts are cut at max_length tokens; lengths are those of the longer one."""

        def coded(role: str, some: Sequence[Example]) -> Column:
            return ragged([tokens_of(processor, example[role], max_length) for example in some])

        def columns(some: Sequence[Example]) -> dict[str, Column]:
            wanted = ragged([[IGNORED]] * len(some)) if targets is None else coded("completion", some)
            return {"input_ids": coded("prompt", some), "targets": wanted}

        found = in_chunks(lambda rows: columns(examples[rows]), len(examples))
        lengths = lengths_of(found)
        return Split(found, lengths if targets is None else np.maximum(lengths, found["targets"].sizes))

    def check_encoded(self, split: Split, model: str) -> None:
        from transformers import AutoConfig

        if not AutoConfig.from_pretrained(model).is_encoder_decoder:
            raise UserError(f"{model} has no encoder with a decoder; write `task: causal-lm`, or give a T5 or BART.")
        super().check_encoded(split, model)

    def padding(self, processor: PreTrainedTokenizerBase) -> dict[str, float]:
        """Beside the padding: what the decoder begins with."""
        from transformers import AutoConfig

        config, found = AutoConfig.from_pretrained(processor.name_or_path), super().padding(processor)
        starts = (getattr(config, name, None) for name in ("decoder_start_token_id", "bos_token_id"))  # T5 has no second
        return {**found, "decoder_start": next((n for n in starts if n is not None), found["input_ids"])}

    def collate(
        self, split: Split, indices: np.ndarray, padding: Mapping[str, float], max_length: int, width: int = 0
    ) -> Batch:
        import torch

        sizes = {
            name: np.diff(column.offsets)[indices] for name, column in split.columns.items() if column.offsets is not None
        }
        longest = {name: min(max_length, int(size.max())) for name, size in sizes.items()}
        to_write = max(width, longest["targets"])  # a width that is asked for is that of both
        width = max(min(max_length, width), longest["input_ids"])
        ids = padded(split.columns["input_ids"], indices, width, padding["input_ids"])
        mask = np.arange(width) < sizes["input_ids"][:, None]
        targets = torch.from_numpy(padded(split.columns["targets"], indices, to_write, IGNORED))
        given = shifted(targets, int(padding["decoder_start"]), int(padding["input_ids"]))
        inputs = {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask.astype(np.int64))}
        return Batch({**inputs, "decoder_input_ids": given}, targets, width)

    def dummy_batch(self, config: PretrainedConfig, targets: Targets, lengths: Sequence[int]) -> Batch:
        """What is written is as long as what is read."""
        batch = super().dummy_batch(config, targets, lengths)
        return Batch({**batch.inputs, "decoder_input_ids": batch.inputs["input_ids"]}, batch.targets, batch.width)

    def target_counts(self, split: Split, max_length: int) -> np.ndarray:
        return counted_targets(split, lambda starts, ends: (starts, np.minimum(ends, starts + max_length)))

    def wanted(self, batch: Batch) -> torch.Tensor:
        return batch.targets

    def spoken(self, logits: torch.Tensor, batch: Batch) -> torch.Tensor:
        return logits


def tokens_of(tokenizer: PreTrainedTokenizerBase, text: str, max_length: int) -> list[int]:
    """A text with its end, cut to so many tokens; where the tokenizer puts no end, it is put here."""
    ids, end = list(tokenizer(text, truncation=True, max_length=max_length)["input_ids"]), tokenizer.eos_token_id
    return ids if end is None or ids[-1:] == [end] else [*ids[: max_length - 1], int(end)]


def shifted(targets: torch.Tensor, start: int, pad_id: int) -> torch.Tensor:
    """What the decoder is given to predict the targets, shape (rows, width): a start, then each target but the last."""
    given = targets.roll(1, dims=1).clone()
    given[:, 0] = start
    return given.masked_fill(given == IGNORED, pad_id)
