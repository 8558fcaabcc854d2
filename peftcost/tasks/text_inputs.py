"""What all task types share whose input is text: tokenizer, token columns, batches."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from peftcost.data.features import Column, Split, padded, ragged, zeros_of
from peftcost.data.spilled import SpilledColumn
from peftcost.errors import UserError
from peftcost.tasks.base import Example, TaskType
from peftcost.tasks.batch import Batch
from peftcost.tasks.targets import Targets

if TYPE_CHECKING:
    import torch
    from transformers import PretrainedConfig, PreTrainedTokenizerBase

CHUNK = 10_000
"""Examples that are tokenized at a time: a tokenizer's lists of Python numbers take many times the memory of their array."""
NOTICEABLE = 0.02
"""Share of unknown tokens, and of texts cut off, from which on the user is warned."""


class TextInputs(TaskType):
    """A task type whose inputs are token ids. pre_split: inputs are lists of words."""

    pre_split: ClassVar[bool] = False

    def processor(self, model: str) -> PreTrainedTokenizerBase:
        return load_tokenizer(model, self.pre_split)

    def padding(self, processor: PreTrainedTokenizerBase) -> dict[str, float]:
        return {"input_ids": int(processor.pad_token_id or 0)}

    def collate(
        self, split: Split, indices: np.ndarray, padding: Mapping[str, float], max_length: int, width: int = 0
    ) -> Batch:
        import torch

        width = min(max_length, max(width, int(split.lengths[indices].max())))
        tokens = split.columns["input_ids"].sizes[indices]
        inputs = {
            name: torch.from_numpy(padded(column, indices, width, padding.get(name, 0)))
            for name, column in split.columns.items()
            if name != "targets"
        }
        inputs["attention_mask"] = torch.from_numpy((np.arange(width) < tokens[:, None]).astype(np.int64))
        return Batch(inputs, self.collate_targets(split.columns["targets"], indices, width), width)

    def collate_targets(self, column: Column, indices: np.ndarray, width: int) -> torch.Tensor:
        """The targets of a batch as one tensor; as they are where each example has one."""
        import torch

        values = column.values[indices]
        return torch.from_numpy(values.astype(np.int64) if np.issubdtype(values.dtype, np.integer) else values)

    def dummy_batch(self, config: PretrainedConfig, targets: Targets, lengths: Sequence[int]) -> Batch:
        import torch

        rows, width = len(lengths), max(lengths)
        # different tokens, so that a model that mixes them up is noticed; no more than any vocabulary has
        ids = torch.arange(rows * width).reshape(rows, width) % 8 + 1
        mask = torch.ones(rows, width, dtype=torch.long)
        for row, length in enumerate(lengths):
            mask[row, length:] = 0
        return Batch({"input_ids": ids, "attention_mask": mask}, self.dummy_targets(rows, width), width)

    def dummy_targets(self, rows: int, width: int) -> torch.Tensor:
        """Targets for `dummy_batch`; by default one class id a row."""
        import torch

        return torch.zeros(rows, dtype=torch.long)

    def check_encoded(self, split: Split, model: str) -> None:
        from transformers import AutoConfig

        config = AutoConfig.from_pretrained(model).get_text_config()
        size = config.vocab_size
        ids = split.columns["input_ids"].values
        if "token_type_ids" in split.columns and getattr(config, "type_vocab_size", 2) < 2:
            raise UserError(
                f"The tokenizer in {model} marks the second text of a pair, and the model beside it knows no second; take "
                "token_type_ids out of model_input_names in its tokenizer_config.json."
            )
        highest = int(ids.max()) if len(ids) else 0
        if highest >= size:  # on a GPU it would end the process
            raise UserError(
                f"The tokenizer in {model} makes token {highest}, and the model beside it has {size} tokens; give the "
                "model's own tokenizer."
            )

    def warnings(self, split: Split, model: str) -> list[str]:
        unknown, ids = self.processor(model).unk_token_id, split.columns["input_ids"].values
        share = float(np.mean(ids == unknown)) if unknown is not None and len(ids) else 0.0
        return unknown_warning(share, "the base")


def cut_warning(share: float, max_length: int) -> list[str]:
    """That a noticeable share of the texts is longer than max_length tokens."""
    if share <= NOTICEABLE:
        return []
    return [
        f"{share:.0%} of the texts are longer than {max_length} tokens and are cut there; raise `max_length` if the base "
        "allows it, or put what matters first."
    ]


def unknown_warning(share: float, model: str, script: str = "these") -> list[str]:
    """That a noticeable share of the tokens of texts in this script is not in the base's vocabulary."""
    if share <= NOTICEABLE:
        return []
    return [
        f"{model} does not know {share:.0%} of the tokens of {script} texts (it makes unknown ones of them); choose a base "
        "that was trained on this language, such as a multilingual one."
    ]


def text_columns(
    processor: PreTrainedTokenizerBase, texts: Sequence[str], max_length: int, pairs: Sequence[str] | None = None
) -> dict[str, Column]:
    """Columns of texts, or of texts and their pairs, cut to max_length; of a pair the longer one is cut.

    A text of nothing but characters that the tokenizer drops still is an input."""
    given = [some for some in (texts, pairs) if some is not None]

    def columns(rows: slice) -> dict[str, Column]:
        both = [list(some[rows]) for some in given]
        encoded = processor(*both, truncation=True, max_length=max_length) if texts else {"input_ids": []}
        ids = [row or [processor.eos_token_id or 0] for row in encoded["input_ids"]]
        return token_columns({**encoded, "input_ids": ids})

    return in_chunks(columns, len(texts))


def in_chunks(columns: Callable[[slice], Mapping[str, Column]], n: int) -> dict[str, Column]:
    """The columns of n examples, which `columns` makes of a slice of them at a time; of a column that a chunk lacks, its
    rows are zeros."""
    if n <= CHUNK:
        return dict(columns(slice(0, n)))
    found: dict[str, SpilledColumn] = {}
    for start in range(0, n, CHUNK):
        part = columns(slice(start, start + CHUNK))
        for name in [name for name in part if name not in found]:
            found[name] = SpilledColumn(part[name].values.dtype)
            if start:
                found[name].add(zeros_of(found["input_ids"].sizes))
        for name, spilled in found.items():
            spilled.add(part.get(name) or zeros_of(part["input_ids"].sizes))
    return {name: spilled.whole() for name, spilled in found.items()}


def token_columns(encoded: Mapping[str, list[list[int]]]) -> dict[str, Column]:
    """Columns of what a tokenizer gives: token ids, and segment ids where there are two segments."""
    columns = {"input_ids": ragged(encoded["input_ids"])}
    segments = encoded.get("token_type_ids")
    if segments is not None and any(any(row) for row in segments):
        columns["token_type_ids"] = ragged(segments)
    return columns


def lengths_of(columns: Mapping[str, Column]) -> np.ndarray:
    """Tokens of each example, shape (n,)."""
    return columns["input_ids"].sizes


def tfidf_predictions(
    model: Any,
    train: Sequence[Example],
    answers: Sequence[Any] | np.ndarray,
    test: Sequence[Example],
    probabilities: bool = False,
) -> np.ndarray | None:
    """What one of scikit-learn's linear models makes of test from words and pairs of words, with sublinear counts.

    Of two texts a row: from those of each, those that both have, and how alike they are. None when no text holds a word of
    two characters."""
    from scipy.sparse import csr_array, hstack
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    roles = [role for role in ("text", "text_pair") if role in train[0]]
    try:
        vectorizer.fit([e[role] for role in roles for e in train])
    except ValueError:  # empty vocabulary
        return None

    def common(a: Any, b: Any) -> list[Any]:
        both = a.multiply(b)
        return [both.sqrt(), csr_array(both.sum(axis=1).reshape(-1, 1))]

    def features(examples: Sequence[Example]) -> Any:
        parts = [vectorizer.transform([e[role] for e in examples]) for role in roles]
        return parts[0] if len(parts) == 1 else hstack([*parts, *common(*parts)], format="csr")

    fitted = model.fit(features(train), answers)
    return np.asarray((fitted.predict_proba if probabilities else fitted.predict)(features(test)))


def aligned(logits: torch.Tensor, batch: Batch) -> torch.Tensor:
    """Logits a token without those of virtual tokens, which prompt tuning puts in front of the inputs."""
    return logits[:, -batch.width :]


def load_tokenizer(model: str | Path, pre_split: bool = False) -> PreTrainedTokenizerBase:
    """The base's tokenizer, padding on the right, with a pad token in any case.

    pre_split: for lists of words. Byte-level tokenizers then put the space back that stood before each word.
    """
    from transformers import AutoTokenizer

    options = {"add_prefix_space": True} if pre_split else {}
    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(str(model), **options)
    if tokenizer.pad_token is None:
        if tokenizer.eos_token is None:
            raise UserError(
                f"The tokenizer in {model} has neither a padding nor an end token, so texts of different length make no "
                "batch; set pad_token in its tokenizer_config.json."
            )
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.padding_side = "right"
    return tokenizer
