"""A part of the test split on which contenders write, chosen when the data are prepared: prompts, and what would be right.

Free of torch: the controller reads how many there are.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from peftcost.tasks import Example, TaskType

ASKED_ROWS = 100
"""At most so many rows of test are answered: writing takes far longer than predicting."""
LONG_ENOUGH = 0.95
"""Answers may be as long as this share of the references is."""
SPLIT, FACTS = "asked", "asked.json"


@dataclass(frozen=True)
class Asked:
    """rows: their places in the test split, in the order of the prepared split "asked". references: what would be right.
    new_tokens: the most that is written of an answer."""

    rows: list[int]
    references: list[str]
    new_tokens: int

    def save(self, folder: Path) -> None:
        (folder / FACTS).write_text(json.dumps(asdict(self), ensure_ascii=False), encoding="utf-8")


def load_asked(prepared: Path) -> Asked | None:
    """None where nothing is to be written: other task types, plain texts."""
    file = prepared / FACTS
    return Asked(**json.loads(file.read_text(encoding="utf-8"))) if file.exists() else None


def asked_of(kind: TaskType, processor: Any, test: Sequence[Example], seed: int) -> Asked | None:
    """A stratified sample of the examples that have a reference, or all where they are few."""
    known = {i: text for i, example in enumerate(test) if (text := kind.reference(example)) is not None}
    if not kind.generates or not known:
        return None
    places, lengths = list(known), np.array([len(processor(text)["input_ids"]) for text in known.values()])
    chosen = sorted(stratified(lengths, ASKED_ROWS, seed))
    longest = int(np.quantile(lengths[chosen], LONG_ENOUGH, method="higher")) + 1
    return Asked([places[i] for i in chosen], [known[places[i]] for i in chosen], longest)


def stratified(lengths: np.ndarray, n: int, seed: int) -> list[int]:
    """n of the indices, or all if there are fewer: one at random of each of n equal groups, from the shortest up."""
    if len(lengths) <= n:
        return list(range(len(lengths)))
    random = np.random.default_rng(seed)
    by_length = random.permutation(len(lengths))
    by_length = by_length[np.argsort(lengths[by_length], kind="stable")]
    return [int(random.choice(group)) for group in np.array_split(by_length, n)]
