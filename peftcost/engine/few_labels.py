"""Choices for few or unbalanced labels that change what a training sees of a batch: class weights, and hidden words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import torch

from peftcost.core.setup import CLASS_WEIGHTS, WORD_DROPOUT, Scalar
from peftcost.data.features import Split
from peftcost.engine.dataset import DatasetInfo
from peftcost.errors import SetupFailed
from peftcost.tasks.batch import Batch
from peftcost.tasks.one_class import OneClass
from peftcost.tasks.targets import Classes, expect
from peftcost.tasks.text_inputs import TextInputs

Change = Callable[[Batch, int], Batch]
"""(a micro-batch on the CPU, a seed of its own) -> the same as it is trained on."""


def changes_batches(choices: Mapping[str, Scalar]) -> bool:
    """Whether there is anything to change."""
    return bool(choices.get(CLASS_WEIGHTS) or choices.get(WORD_DROPOUT))


def changes_inputs(choices: Mapping[str, Scalar]) -> bool:
    """Whether the model sees other inputs in each epoch, so that nothing that was computed of them serves twice."""
    return bool(choices.get(WORD_DROPOUT))


def change_of(choices: Mapping[str, Scalar], split: Split, info: DatasetInfo) -> Change | None:
    """What these choices do to a training batch; None where they do nothing. SetupFailed where they make no sense."""
    changes = [change for change in (class_weights(choices, split, info), word_dropout(choices, info)) if change is not None]

    def changed(batch: Batch, seed: int) -> Batch:
        for change in changes:
            batch = change(batch, seed)
        return batch

    return changed if changes else None


def class_weights(choices: Mapping[str, Scalar], split: Split, info: DatasetInfo) -> Change | None:
    """Rows weigh n / (classes x rows of their class), as in scikit-learn, so that each class counts the same."""
    wanted = choices.get(CLASS_WEIGHTS)
    if not wanted:
        return None
    if wanted != "balanced":
        raise SetupFailed(f"class_weights is {wanted!r}; it can be 'balanced'")
    if not isinstance(info.task_type, OneClass):
        raise SetupFailed(f"class_weights are for one class a row, which {info.task} does not have")
    rows = np.bincount(split.columns["targets"].values, minlength=len(expect(Classes, info.targets)))
    weights = torch.from_numpy(len(split) / (max(1, int((rows > 0).sum())) * np.maximum(rows, 1))).float()
    return lambda batch, seed: replace(batch, weights=weights[batch.targets.long()])


def word_dropout(choices: Mapping[str, Scalar], info: DatasetInfo) -> Change | None:
    """Each token of a text is hidden with this probability: the mask token stands in its place, or the unknown one (word
    dropout: Iyyer et al. 2015, ACL, who leave it out)."""
    share = float(choices.get(WORD_DROPOUT) or 0.0)
    if not share:
        return None
    if not isinstance(info.task_type, TextInputs):
        raise SetupFailed(f"word_dropout is for texts, which {info.task} does not read")
    processor = info.task_type.processor(info.model)
    hidden = processor.mask_token_id if processor.mask_token_id is not None else processor.unk_token_id
    if hidden is None:
        raise SetupFailed("word_dropout needs a tokenizer with a mask token or an unknown token")
    kept = torch.tensor(sorted(set(processor.all_special_ids)))

    def dropped(batch: Batch, seed: int) -> Batch:
        ids = batch.inputs["input_ids"]
        drawn = torch.rand(ids.shape, generator=torch.Generator().manual_seed(seed)) < share
        return replace(batch, inputs={**batch.inputs, "input_ids": ids.masked_fill(drawn & ~torch.isin(ids, kept), hidden)})

    return dropped
