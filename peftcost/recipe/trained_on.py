"""Which rows a model was trained on: hashes of their inputs, which lie in its folder."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from peftcost.errors import UserError
from peftcost.tasks import Example, TaskType

FILE = "trained_on.npy"
HASH_BYTES = 8
"""Two of a million different rows are taken for one in one case of 30 million."""


def hashes_of(kind: TaskType, examples: Sequence[Example]) -> np.ndarray:
    """One number for the inputs of each example, shape (n,)."""
    digests = [hashlib.blake2b(kind.content(e).encode("utf-8", "surrogatepass"), digest_size=HASH_BYTES) for e in examples]
    return np.frombuffer(b"".join(digest.digest() for digest in digests), dtype=np.uint64)


def remember(folder: Path, kind: TaskType, examples: Sequence[Example]) -> None:
    """Write down what a model was trained on. No row can be read from it; who has a row can see whether it is among them."""
    np.save(folder / FILE, np.unique(hashes_of(kind, examples)))


def trained_on(folder: Path, kind: TaskType, examples: Sequence[Example], name: str) -> list[str]:
    """A sentence where the model in this folder was trained on some of these examples, called so; none for a folder that does
    not remember."""
    try:
        seen = np.isin(hashes_of(kind, examples), np.load(folder / FILE))
    except FileNotFoundError:
        return []
    except (ValueError, EOFError) as error:
        raise UserError(f"{folder / FILE} is damaged ({error}); copy the folder again, or delete this file.") from error
    n = int(seen.sum())
    told = f"The model was trained on {n:,} of {name}, so quality looks better than it is on new ones."
    return [told] if n else []
