"""Token classification: one tag per word, as in named-entity recognition."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from peftcost.data.cells import label_of, list_of, text_of
from peftcost.data.table import Table
from peftcost.data.tags import OUTSIDE, tag_parts
from peftcost.errors import UserError
from peftcost.tasks.base import Example, Metric, TaskType
from peftcost.tasks.metrics import entity_f1, span_row, token_accuracy

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

IGNORED = -100
FEW_ODD = 0.02
"""Share of words up to which tags of no scheme are slips among those of one."""


class TokenClassification(TaskType):
    """Rows for the metrics: (right spans, predicted spans, true spans, right words, words).

    A word's first sub-token carries its tag. Targets of words that truncation cut off follow behind the sub-tokens'
    own; they are never trained on, and count as predicted O, so that cutting is not rewarded.
    """

    name = "token-classification"
    roles = ("tokens", "tags")
    metrics = {  # noqa: RUF012
        "entity_f1": Metric("entity_f1", 0.01, entity_f1),
        "token_accuracy": Metric("token_accuracy", 0.01, token_accuracy),
    }
    auto_model = "AutoModelForTokenClassification"
    pre_split = True

    def inputs(self, table: Table, column: str) -> list[Any]:
        found = []
        for i, row in enumerate(table.rows):
            where = f"{table.place(i)}, column {column!r}"
            found.append([text_of(token, where) for token in list_of(row.get(column), where)])
        return found

    def examples(self, table: Table, columns: Mapping[str, str]) -> list[Example]:
        sentences, column = self.inputs(table, columns["tokens"]), columns["tags"]
        found = []
        for i, tokens in enumerate(sentences):
            where = f"{table.place(i)}, column {column!r}"
            tags = [label_of(tag, where) for tag in list_of(table.rows[i].get(column), where)]
            if len(tags) != len(tokens):
                raise UserError(f"{where}: {len(tags)} tags for {len(tokens)} tokens; give one tag for each token.")
            found.append({"tokens": tokens, "tags": tags, "place": table.place(i)})
        return found

    def label_names(self, example: Example) -> list[str]:
        return list(example["tags"])

    def default_metric(self, train: Sequence[Example]) -> tuple[str, str | None]:
        """Entity F1 where the tags mark entities. UserError that names the row of a single odd tag among them."""
        counts = Counter(tag for e in train for tag in e["tags"])
        odd = [tag for tag in counts if tag_parts(tag) is None]
        if not odd:
            return "entity_f1", None
        if sum(counts[tag] for tag in odd) <= FEW_ODD * counts.total():
            row = next(e for e in train if odd[0] in e["tags"])
            known = sorted(set(counts) - set(odd))
            raise UserError(
                f"{row['place']}: the tag {odd[0]!r} is of no entity scheme, as the other tags are ({', '.join(known[:6])})."
                f"{_meant(odd[0])} Correct it, or set `metric: token_accuracy` if it is a tag of its own."
            )
        return "token_accuracy", f"The metric is token_accuracy, since the tag {odd[0]!r} and others mark no entities."

    def check_metric(self, metric: str, labels: Sequence[str]) -> None:
        odd = [label for label in labels if tag_parts(label) is None]
        if metric == "entity_f1" and odd:
            raise UserError(
                f"the tag {odd[0]!r} is neither O nor of the form B-TYPE or I-TYPE, so entity_f1 cannot find spans; "
                "write the tags so, or set `metric: token_accuracy`."
            )

    def stratum(self, example: Example) -> str:
        """The type of the first entity: few, large strata."""
        first = next((tag for tag in example["tags"] if tag != OUTSIDE), OUTSIDE)
        parts = tag_parts(first)
        return first if parts is None or first == OUTSIDE else parts[1]

    def content(self, example: Example) -> str:
        return " ".join(example["tokens"])

    def unlabelled(self, content: Any, labels: Sequence[str]) -> Example:
        return {"tokens": list(content), "tags": [labels[0]] * len(content), "place": ""}

    def tokenize(
        self,
        tokenizer: PreTrainedTokenizerBase,
        examples: Sequence[Example],
        labels: Sequence[str],
        max_length: int,
    ) -> tuple[list[list[int]], list[list[int]]]:
        if not tokenizer.is_fast:
            raise UserError(
                f"{type(tokenizer).__name__} does not say which word a token belongs to; token classification needs a "
                "model with a fast tokenizer (tokenizer.json)."
            )
        class_id = {label: i for i, label in enumerate(labels)}
        ids, targets = [], []
        for example, (coded, words) in zip(examples, _code(tokenizer, examples, max_length), strict=True):
            tags = [class_id[tag] for tag in example["tags"]]
            before = [None, *words[:-1]]
            seen = [
                IGNORED if word is None or word == previous else tags[word]
                for word, previous in zip(words, before, strict=True)
            ]
            ids.append(coded)
            targets.append(seen + tags[1 + max((word for word in words if word is not None), default=-1) :])
        return ids, targets

    def loss(
        self, logits: torch.Tensor, targets: torch.Tensor, label_smoothing: float = 0.0
    ) -> tuple[torch.Tensor, torch.Tensor]:
        from torch.nn.functional import cross_entropy

        seen = targets[:, : logits.shape[1]]
        loss = cross_entropy(
            logits.float().flatten(0, 1),
            seen.flatten(),
            reduction="sum",
            ignore_index=IGNORED,
            label_smoothing=label_smoothing,
        )
        return loss, (seen != IGNORED).sum()

    def collate_targets(self, targets: Sequence[Sequence[int]], width: int) -> torch.Tensor:
        import torch

        columns = max([width, *map(len, targets)])
        padded = [[*row, *[IGNORED] * (columns - len(row))] for row in targets]
        return torch.tensor(padded, dtype=torch.long)

    def predict(self, logits: torch.Tensor, targets: torch.Tensor, labels: Sequence[str]) -> np.ndarray:
        guesses = logits.argmax(dim=-1).cpu().tolist()
        rows = []
        for guess, gold in zip(guesses, targets.cpu().tolist(), strict=True):
            at = [i for i, target in enumerate(gold) if target != IGNORED]
            predicted = [labels[guess[i]] if i < len(guess) else OUTSIDE for i in at]
            rows.append(span_row(predicted, [labels[gold[i]] for i in at]))
        return np.array(rows, dtype=np.float32).reshape(-1, 5)

    def majority_rows(self, train: Sequence[Example], test: Sequence[Example], labels: Sequence[str]) -> np.ndarray:
        counts = Counter(tag for e in train for tag in e["tags"])
        majority = max(labels, key=lambda label: counts[label])
        rows = [span_row([majority] * len(e["tags"]), e["tags"]) for e in test]
        return np.array(rows, dtype=np.float32).reshape(-1, 5)

    def describe(self, logits: torch.Tensor, targets: torch.Tensor, labels: Sequence[str]) -> list[dict[str, Any]]:
        """Tags and their probabilities, one per word; a word that was cut off is O with probability 0."""
        best, ids = (values.cpu().tolist() for values in logits.float().softmax(dim=-1).max(dim=-1))
        found = []
        for p, guess, gold in zip(best, ids, targets.cpu().tolist(), strict=True):
            at = [i for i, target in enumerate(gold) if target != IGNORED]
            found.append(
                {
                    "tags": [labels[guess[i]] if i < len(guess) else OUTSIDE for i in at],
                    "probabilities": [round(p[i], 6) if i < len(p) else 0.0 for i in at],
                }
            )
        return found


def _meant(tag: str) -> str:
    return " Did you mean 'O'?" if tag in ("0", "o", "Ο", "О") else ""


Coded = tuple[list[int], list[int | None]]
"""Token ids of a sentence, and for each the word that it belongs to (None for special tokens)."""


def _code(tokenizer: PreTrainedTokenizerBase, examples: Sequence[Example], max_length: int) -> list[Coded]:
    """Ids and words of each example.

    A word of which the tokenizer leaves nothing (a lone accent, say) becomes the unknown token: its tag needs a place.
    """
    sentences = [e["tokens"] for e in examples]
    found = _code_sentences(tokenizer, sentences, max_length)
    stand_in = tokenizer.unk_token or "."
    repaired = {}
    for i, (ids, belongs) in enumerate(found):
        present = {word for word in belongs if word is not None}
        reached = len(sentences[i]) if len(ids) < max_length else max(present, default=-1) + 1
        if len(present) < reached:
            repaired[i] = [word if at in present or at >= reached else stand_in for at, word in enumerate(sentences[i])]
    for i, coded in zip(repaired, _code_sentences(tokenizer, list(repaired.values()), max_length), strict=True):
        found[i] = coded
    return found


def _code_sentences(tokenizer: PreTrainedTokenizerBase, sentences: list[list[str]], max_length: int) -> list[Coded]:
    if not sentences:
        return []
    coded = tokenizer(sentences, is_split_into_words=True, truncation=True, max_length=max_length)
    return [(ids, coded.word_ids(i)) for i, ids in enumerate(coded["input_ids"])]
