"""What a base's tokenizer makes of texts: their lengths, and how much of which script it does not know."""

from __future__ import annotations

import json
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from peftcost.task.lengths import longest_input, usual_length
from peftcost.tasks.text_inputs import cut_warning, unknown_warning

OTHER = "other"


@dataclass(frozen=True)
class Tokenized:
    """texts: how many were looked at. median, high, longest: tokens a text (high: of the longest 5 %). cut: share of texts
    that are longer than max_length. unknown: share of unknown tokens by script, for scripts of 1 % of the texts or more."""

    texts: int
    median: int
    high: int
    longest: int
    max_length: int
    cut: float
    unknown: dict[str, float]


def tokenized(
    texts: Sequence[str], model_folder: Path, max_length: int | None, lengths: np.ndarray | None = None
) -> Tokenized | None:
    """How the base's tokenizer sees the texts; None without a tokenizer.json. max_length: of the task, if it says one.
    lengths: of the rows that the texts stand in, where the model gets more of these than the texts alone."""
    file = model_folder / "tokenizer.json"
    if not texts or not file.exists():
        return None
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(file))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    coded = tokenizer.encode_batch(list(texts))
    if lengths is None:
        lengths = np.array([len(text.ids) for text in coded])
    config = json.loads((model_folder / "config.json").read_text(encoding="utf-8"))
    limit = min(max_length or usual_length(lengths), longest_input(config))
    unknown_id = _unknown_id(file, tokenizer)
    shares: dict[str, list[float]] = {}
    for text, found in zip(texts, coded, strict=True):
        tokens = sum(not special for special in found.special_tokens_mask)
        if tokens:
            # an unknown token may be masked as special
            shares.setdefault(script_of(text), []).append(sum(i == unknown_id for i in found.ids) / max(tokens, 1))
    return Tokenized(
        texts=len(texts),
        median=int(np.median(lengths)),
        high=int(np.quantile(lengths, 0.95)),
        longest=int(lengths.max()),
        max_length=limit,
        cut=float((lengths > limit).mean()),
        unknown={
            script: min(1.0, float(np.mean(values)))
            for script, values in sorted(shares.items(), key=lambda item: -len(item[1]))
            if len(values) >= 0.01 * len(texts)
        },
    )


def told(seen: Tokenized, model: str) -> list[str]:
    """Warnings of what is cut off and what is unknown."""
    unknown = [unknown_warning(share, model, script) for script, share in seen.unknown.items()]
    return sum(unknown, start=cut_warning(seen.cut, seen.max_length))


def script_of(text: str) -> str:
    """The script of most letters: Latin, CJK, Cyrillic, Arabic, …; "other" for a text without letters."""
    scripts = Counter(_script(c) for c in text[:2000] if c.isalpha())
    return scripts.most_common(1)[0][0] if scripts else OTHER


@lru_cache(maxsize=10_000)
def _script(character: str) -> str:
    name = unicodedata.name(character, OTHER).split()[0]
    return name if name == "CJK" else name.capitalize()


def _unknown_id(file: Path, tokenizer: object) -> int | None:
    model = json.loads(file.read_text(encoding="utf-8")).get("model", {})
    unknown = model.get("unk_token")
    return tokenizer.token_to_id(unknown) if isinstance(unknown, str) else model.get("unk_id")  # type: ignore[attr-defined]
