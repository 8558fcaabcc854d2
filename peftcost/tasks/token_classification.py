"""Token classification: one tag per word, as in named-entity recognition."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from peftcost.data.cells import LOOKED_AT, is_blank, label_of, list_from_text, list_of, text_of
from peftcost.data.features import Column, Split, padded, ragged
from peftcost.data.guess import TEXT_NAMES, called_labels, holds, label_column, text_column
from peftcost.data.sentences import WORD_NAMES, refuse_single_words, refuse_words_as_sentences
from peftcost.data.table import Table
from peftcost.data.tags import (
    LIKE_OUTSIDE,
    OUTSIDE,
    first_of_several,
    in_capitals,
    kind_of,
    known_tags,
    marks_kinds,
    marks_tags,
    tag_parts,
    written_in_two_ways,
)
from peftcost.errors import UserError
from peftcost.tasks.base import IGNORED, Baseline, Example, Metric
from peftcost.tasks.batch import Batch
from peftcost.tasks.class_targets import ClassTargets
from peftcost.tasks.metrics import entity_f1, span_row, token_accuracy
from peftcost.tasks.odd_tags import NUMBERS, place_of, tag_counts, told_of_odd_tags
from peftcost.tasks.targets import Classes, Targets, expect
from peftcost.tasks.text_inputs import TextInputs, aligned, in_chunks, lengths_of, token_columns
from peftcost.tasks.undefined import no_entity

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

WHOLE = 5
"""Columns of a row that no kind of entity has of its own."""
MOST_KINDS = 64
"""Of which each is counted: more would take too much room."""
MOST = 0.8
"""Share of rows from which on texts with a word for each tag are sentences."""
FEW_ODD = 0.02
"""Share of words up to which tags of no scheme are slips among those of one."""


class TokenClassification(TextInputs, ClassTargets):
    """Rows for the metrics: (right spans, predicted spans, true spans, right words, words), then the first three of each kind
    of entity.

    A word's first sub-token carries its tag. Targets of words that truncation cut off follow behind the sub-tokens'
    own; they are never trained on, and count as predicted O, so that cutting is not rewarded.
    """

    name = "token-classification"
    input_roles = ("tokens",)
    target_roles = ("tags",)
    described = ("tags", "probabilities")
    metrics = {  # noqa: RUF012
        "entity_f1": Metric("entity_f1", 0.01, entity_f1, undefined=no_entity),
        "token_accuracy": Metric("token_accuracy", 0.01, token_accuracy),
    }
    auto_model = "AutoModelForTokenClassification"
    pre_split = True
    per_token = True
    precedence = 20

    def guess_columns(self, table: Table, label: str | None) -> dict[str, str] | None:
        label = label_column(table, label or tagging_column(table))
        others = [name for name in table.columns if name != label]
        refuse_single_words(table, label)
        if (words := column_with_words(table, label, others)) is not None:
            return {"tokens": words, "tags": label}
        if not holds(table, label, list) and not (label == "tags" and "tokens" in others):
            return None
        lists = [name for name in others if holds(table, name, list)]
        known = next(filter(None, ([n for n in lists if n.lower() in names] for names in (WORD_NAMES, TEXT_NAMES))), lists)
        tokens = "tokens" if "tokens" in others else known[0] if len(known) == 1 else None
        if not lists and tokens is None:  # several labels of a text
            return None
        if tokens is None:
            raise UserError(
                f"{table.path} does not show which column holds the tokens ({table.listed}); write a task.yaml "
                f"with `columns: {{tokens: …, tags: {label}}}`."
            )
        return {"tokens": tokens, "tags": label}

    def read(self, table: Table, columns: Mapping[str, str], labelled: bool = True) -> list[Example]:
        refuse_words_as_sentences(table, columns["tokens"])
        found = []
        for i, row in enumerate(table.rows):
            place = table.place(i)
            where = f"{place}, column {columns['tokens']!r}"
            tokens = [text_of(token, where) for token in list_of(row.get(columns["tokens"]), where)]
            example: Example = {"tokens": tokens, "place": place}
            if labelled:
                where = f"{place}, column {columns['tags']!r}"
                tags = [label_of(tag, where) for tag in tags_of(row.get(columns["tags"]), where)]
                if len(tags) != len(tokens):
                    raise UserError(f"{where}: {len(tags)} tags for {len(tokens)} tokens; give one tag for each token.")
                example["tags"] = tags
            found.append(example)
        return found

    def classes_of(self, example: Example) -> list[str]:
        tags: list[str] = example["tags"]
        return tags

    def default_metric(self, train: Sequence[Example]) -> tuple[str, str | None]:
        """Entity F1 where the tags mark entities. UserError that names the row of a single odd tag among them, also of
        one that stands for O in all rows."""
        counts = tag_counts(train)
        known = known_tags(counts)
        odd = [tag for tag in counts if tag not in known]
        kinds = {kind_of(tag) for tag in known}
        if len(odd) == 1 and OUTSIDE not in known.values() and any(kinds) and odd[0] not in kinds:
            raise _no_tag(odd[0], train, meant=OUTSIDE)
        if not odd:
            bare = sorted(tag for tag in counts if in_capitals(tag) is None)
            return "entity_f1", f"The tags have no B- or I-, so each run of {bare[0]!r} is one entity." if bare else None
        if sum(counts[tag] for tag in odd) <= FEW_ODD * counts.total() or set(odd) <= set(LIKE_OUTSIDE):
            raise _no_tag(odd[0], train)
        if all(map(str.isdecimal, counts)):
            return "token_accuracy", NUMBERS
        return "token_accuracy", f"The metric is token_accuracy, since the tag {odd[0]!r} and others mark no entities."

    def check_rows(self, metric: str | None, train: Sequence[Example]) -> None:
        counts = tag_counts(train)
        several = next(filter(first_of_several, counts), None)
        if metric != "token_accuracy" and several is not None:
            raise UserError(
                f"{place_of(several, train)} is several tags of one word; keep one, as {first_of_several(several)!r}, or "
                "set `metric: token_accuracy` if it is a tag of its own."
            )
        if metric != "token_accuracy" and (two := written_in_two_ways(counts)) is not None:
            raise UserError(
                f"{place_of(two[0], train)} means the same as {two[1]!r}, which is more frequent; write it in one way, or "
                "set `metric: token_accuracy` if they are tags of their own."
            )
        known = known_tags(counts)
        odd = next((tag for tag in counts if tag not in known), None)
        if metric == "entity_f1" and odd is not None:
            raise _no_tag(odd, train)

    def doubts(self, examples: Sequence[Example]) -> list[str]:
        return told_of_odd_tags(examples)

    def check_metric(self, metric: str, targets: Targets) -> None:
        names = expect(Classes, targets).names
        odd = sorted(set(names) - set(known_tags(names)))
        if metric == "entity_f1" and odd:
            raise UserError(
                f"the tag {odd[0]!r} is neither O nor of the form B-TYPE or I-TYPE, so entity_f1 cannot find spans; "
                "write the tags so, or set `metric: token_accuracy`."
            )

    def stratum(self, example: Example) -> str:
        """The type of the first entity: few, large strata."""
        return next((kind for tag in example["tags"] if (kind := kind_of(tag)) is not None), OUTSIDE)

    def content(self, example: Example) -> str:
        return " ".join(example["tokens"])

    def encode(
        self, processor: PreTrainedTokenizerBase, examples: Sequence[Example], targets: Targets | None, max_length: int
    ) -> Split:
        """Targets of examples without tags are 0 where a word begins: so `describe` knows where."""
        if not processor.is_fast:
            raise UserError(
                f"{type(processor).__name__} does not say which word a token belongs to; token classification needs a "
                "model with a fast tokenizer (tokenizer.json)."
            )
        class_ids = None if targets is None else expect(Classes, targets).ids
        columns = in_chunks(lambda rows: _columns(processor, examples[rows], class_ids, max_length), len(examples))
        return Split(columns, lengths_of(columns))

    def collate_targets(self, column: Column, indices: np.ndarray, width: int) -> torch.Tensor:
        """Padded with IGNORED. Columns from `width` on are targets of words that the model does not see; they count in
        `predict` alone."""
        import torch

        assert column.offsets is not None
        longest = int((column.offsets[indices + 1] - column.offsets[indices]).max())
        return torch.from_numpy(padded(column, indices, max(width, longest), IGNORED))

    def dummy_targets(self, rows: int, width: int) -> torch.Tensor:
        import torch

        return torch.zeros(rows, width, dtype=torch.long)

    def target_counts(self, split: Split, max_length: int) -> np.ndarray:
        column = split.columns["targets"]
        assert column.offsets is not None
        counted = np.concatenate([[0], np.cumsum(column.values != IGNORED)])
        starts = column.offsets[:-1]
        ends = np.minimum(column.offsets[1:], starts + np.minimum(split.lengths, max_length))
        return np.asarray(counted[ends] - counted[starts])

    def seen(self, batch: Batch) -> Batch:
        return replace(batch, targets=batch.targets[:, : batch.width])

    def loss(self, logits: torch.Tensor, batch: Batch, label_smoothing: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
        from torch.nn.functional import cross_entropy

        seen = self.seen(batch).targets
        loss = cross_entropy(
            aligned(logits, batch).float().flatten(0, 1),
            seen.flatten(),
            reduction="sum",
            ignore_index=IGNORED,
            label_smoothing=label_smoothing,
        )
        return loss, (seen != IGNORED).sum()

    def predict(self, logits: torch.Tensor, batch: Batch, targets: Targets) -> np.ndarray:
        names, kinds = _as_known(targets), self.class_names(targets)
        guesses = aligned(logits, batch).argmax(dim=-1).cpu().tolist()
        rows = []
        for guess, gold in zip(guesses, batch.targets.cpu().tolist(), strict=True):
            at = [i for i, target in enumerate(gold) if target != IGNORED]
            predicted = [names[guess[i]] if i < len(guess) else OUTSIDE for i in at]
            rows.append(span_row(predicted, [names[gold[i]] for i in at], kinds))
        return np.array(rows, dtype=np.float32).reshape(-1, WHOLE + 3 * len(kinds))

    def class_names(self, targets: Targets) -> Sequence[str]:
        """Kinds of entities; none where the tags mark no entities."""
        parts = [tag_parts(name) for name in _as_known(targets)]
        kinds = sorted({kind for letter, kind in filter(None, parts) if letter != OUTSIDE})
        return kinds if None not in parts and len(kinds) <= MOST_KINDS else ()

    def class_counts(self, rows: np.ndarray, classes: int) -> np.ndarray | None:
        by_kind = rows[:, WHOLE:]
        if not classes or by_kind.shape[1] != 3 * classes:  # rows of an earlier version end before
            return None
        return by_kind.sum(axis=0, dtype=np.float64).astype(np.int64).reshape(classes, 3)

    def baselines(self) -> Mapping[str, Baseline]:
        return {"majority": Baseline("the majority class", majority_rows)}

    def describe(self, logits: torch.Tensor, batch: Batch, targets: Targets) -> list[dict[str, Any]]:
        """Tags and their probabilities, one per word; a word that was cut off is O with probability 0."""
        names = expect(Classes, targets).names
        outside = next((name for name in names if in_capitals(name) == OUTSIDE), OUTSIDE)
        best, ids = (values.cpu().tolist() for values in aligned(logits, batch).float().softmax(dim=-1).max(dim=-1))
        found = []
        for p, guess, gold in zip(best, ids, batch.targets.cpu().tolist(), strict=True):
            at = [i for i, target in enumerate(gold) if target != IGNORED]
            found.append(
                {
                    "tags": [names[guess[i]] if i < len(guess) else outside for i in at],
                    "probabilities": [round(p[i], 6) if i < len(p) else 0.0 for i in at],
                }
            )
        return found


def tags_of(value: Any, where: str) -> list[Any]:
    """A list as `list_of` reads it, also of a string with commas between the tags."""
    if isinstance(value, str) and "," in value and list_from_text(value) is None:
        value = value.replace(",", " ")
    return list_of(value, where)


def column_with_words(table: Table, label: str, others: Sequence[str]) -> str | None:
    """The column of texts that have, in most of the first rows, a word for each tag that the label column writes; or None.

    A row that is odd among them is for `read` to name.
    """
    rows = table.rows[:LOOKED_AT]
    tags = [_items(tags_of, row.get(label)) for row in rows]
    written = [tag for some in tags for tag in some]
    lettered = _are_lettered(written)
    if not (lettered or marks_kinds(written)) or max(map(len, tags)) < 2:
        return None
    for name in others:
        words = [_items(list_of, row.get(name)) if isinstance(row.get(name), str) else [] for row in rows]
        fitting = sum(len(some) == len(of_words) > 0 for some, of_words in zip(tags, words, strict=True))
        if fitting >= MOST * len(rows):
            return name
    if (
        lettered
        and 2 * sum(len(some) > 1 for some in tags) > len(rows)
        and not any(holds(table, name, list) for name in others)
    ):
        _refuse_other_numbers(table, label, text_column(table, list(others)), tags)
    return None


def tagging_column(table: Table) -> str | None:
    """The only column of joined tags (`B-PER O` or `B-PER,O`) in a table where nothing is called a label; or None."""
    found = []
    for name in table.columns if not called_labels(table) else ():
        cells = [cell for row in table.rows[:LOOKED_AT] if not is_blank(cell := row.get(name))]
        tags = [_items(tags_of, cell) if isinstance(cell, str) else [] for cell in cells]
        if 2 * sum(len(some) > 1 for some in tags) > len(tags) and _are_lettered([tag for some in tags for tag in some]):
            found.append(name)
    return found[0] if len(found) == 1 else None


def _are_lettered(tags: Sequence[Any]) -> bool:
    """Whether all are tags of a scheme with letters, O among them, but for a few odd ones."""
    known = [tag for tag in tags if in_capitals(str(tag)) is not None]
    return len(known) >= (1 - FEW_ODD) * len(tags) and marks_tags(known)


def _refuse_other_numbers(table: Table, label: str, text: str | None, tags: Sequence[Sequence[Any]]) -> None:
    """UserError for tags of words beside texts of which most have another number of words."""
    for i, some in enumerate(tags):
        words = _items(list_of, table.rows[i].get(text)) if text is not None else []
        if words and len(words) != len(some):
            raise UserError(
                f"{table.place(i)}, column {label!r}: {len(some)} tags of words, but {text!r} has {len(words)} words; write "
                "a tag for each word, with spaces between words, or lists of both."
            )


def _items(read: Callable[[Any, str], list[Any]], cell: Any) -> list[Any]:
    """The items of a cell; none where it cannot be read."""
    try:
        return read(cell, "")
    except UserError:
        return []


def _no_tag(odd: str, train: Sequence[Example], meant: str | None = None) -> UserError:
    others = [tag for tag, _ in tag_counts(train).most_common() if tag != odd]
    meant = OUTSIDE if odd in LIKE_OUTSIDE else meant
    asked = f" Did you mean {meant!r}?" if meant else ""
    return UserError(
        f"{place_of(odd, train)} is of no entity scheme, as the other tags are ({', '.join(others[:6])}).{asked} Correct "
        "it, or set `metric: token_accuracy` if it is a tag of its own."
    )


def _as_known(targets: Targets) -> list[str]:
    """The tags as `tag_parts` knows them; those of no scheme as they are."""
    names = expect(Classes, targets).names
    known = known_tags(names)
    return [known.get(name, name) for name in names]


def majority_rows(train: Sequence[Example], test: Sequence[Example], targets: Targets) -> np.ndarray:
    """The most frequent tag for every word."""
    counts, names = tag_counts(train), expect(Classes, targets).names
    known = dict(zip(names, _as_known(targets), strict=True))
    majority = known[max(names, key=lambda label: counts[label])]
    rows = [span_row([majority] * len(e["tags"]), [known[tag] for tag in e["tags"]]) for e in test]
    return np.array(rows, dtype=np.float32).reshape(-1, WHOLE)


Coded = tuple[list[int], list[int | None]]
"""Token ids of a sentence, and for each the word that it belongs to (None for special tokens)."""


def _columns(
    tokenizer: PreTrainedTokenizerBase, examples: Sequence[Example], class_ids: Mapping[str, int] | None, max_length: int
) -> dict[str, Column]:
    """Token ids, and at each word's first one the class of its tag."""
    ids, wanted = [], []
    for example, (coded, words) in zip(examples, _code(tokenizer, examples, max_length), strict=True):
        tags = [0] * len(example["tokens"]) if class_ids is None else [class_ids[tag] for tag in example["tags"]]
        before = [None, *words[:-1]]
        seen = [
            IGNORED if word is None or word == previous else tags[word] for word, previous in zip(words, before, strict=True)
        ]
        ids.append(coded)
        wanted.append(seen + tags[1 + max((word for word in words if word is not None), default=-1) :])
    return {**token_columns({"input_ids": ids}), "targets": ragged(wanted)}


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
