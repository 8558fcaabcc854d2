"""How a text that a model has written is held against the one that would be right: numbers of each pair, from 0 to 1."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from peftcost.tasks.base import Metric
from peftcost.tasks.metrics import share

LETTERS_ALONE = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
"""Japanese syllables and Chinese characters, which no spaces part into words."""
WORD = re.compile(rf"[{LETTERS_ALONE}]|[^\W_{LETTERS_ALONE}]+")


def text_scores(written: Sequence[str], references: Sequence[str]) -> np.ndarray:
    """Of each pair: exact match, ROUGE-L (the F-measure of rouge-score), chrF (of sacrebleu, a sentence at a time). Shape
    (n, 3), float32. Spaces at the ends, and how many stand between words, are not looked at."""
    from rouge_score.rouge_scorer import RougeScorer
    from sacrebleu.metrics import CHRF

    rouge, chrf = RougeScorer(["rougeL"], tokenizer=Words()), CHRF()
    pairs = [(" ".join(text.split()), " ".join(right.split())) for text, right in zip(written, references, strict=True)]
    rows = [
        (
            float(text == right),
            float(rouge.score(right, text)["rougeL"].fmeasure),
            float(chrf.sentence_score(text, [right]).score) / 100,
        )
        for text, right in pairs
    ]
    return np.array(rows, dtype=np.float32).reshape(-1, 3)


class Words:
    """Words in small letters, as ROUGE counts them. Of English the same as rouge-score's own, which knows no letters but a to
    z: of Russian or Chinese it would find nothing."""

    def tokenize(self, text: str) -> list[str]:
        return WORD.findall(text.lower())


def _mean_of(column: int, name: str) -> Metric:
    def mean(rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
        return share(weights @ rows[:, column].astype(np.float64), weights.sum(axis=1))

    return Metric(name, 0.01, mean)


WRITTEN_METRICS = {name: _mean_of(i, name) for i, name in enumerate(("exact_match", "rouge_l", "chrf"))}
"""On rows of `text_scores`, by name: means over the examples."""
