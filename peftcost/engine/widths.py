"""Tokenizes for bases that take no input of just any length, too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from peftcost.data.features import Split
from peftcost.task.lengths import filled_up
from peftcost.tasks import Example, TaskType
from peftcost.tasks.targets import Targets


def encoded(
    kind: TaskType, processor: Any, examples: Sequence[Example], targets: Targets | None, max_length: int, model: str
) -> Split:
    """The examples as numbers for the model in this folder. Their lengths count the padding that it needs behind each."""
    split = kind.encode(processor, examples, targets, max_length)
    if kind.one_size or kind.generates:
        return split
    return replace(split, lengths=filled_up(split.lengths, config_of(model), max_length))


def config_of(model: str) -> dict[str, Any]:
    """The fields of a model's config.json with the defaults that it leaves out."""
    from transformers import AutoConfig

    return dict(AutoConfig.from_pretrained(model).to_dict())
