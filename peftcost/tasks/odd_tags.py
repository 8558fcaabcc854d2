"""Tags that may be slips among those of a scheme."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher

from peftcost.data.tags import OUTSIDE, kind_of, known_tags, letter_of
from peftcost.tasks.base import Example

NUMBERS = (
    "The metric is token_accuracy, since the tags are numbers; if they are ids, write the names that the data set has for "
    "them (as B-PER for 1), so that entity_f1 judges entities."
)
"""What is told of tags that are all numbers."""
SCHEMES = ("BI", "BIES", "BILU", "BMEW", "BMES")
"""The letters that go together, the plainest first."""
MEANT = {"S": "UWB", "U": "SWB", "W": "SUB", "E": "LI", "L": "EI", "M": "I"}
"""What a letter is called in other schemes."""
FEW = 0.01
"""Share of the rows up to which a letter is odd that no scheme has beside the usual ones."""
ENOUGH = 10
"""Rows of a kind, so that another one in a single row is odd."""
NEAR = 0.8
"""How alike two kinds are of which one may be a slip."""


def told_of_odd_tags(examples: Sequence[Example]) -> list[str]:
    """Of tags that all mark entities: the first whose letter no scheme has beside the usual ones, and the first of a kind
    that one row alone has."""
    rows = Counter(tag for e in examples for tag in set(e["tags"]))
    if len(known := known_tags(rows)) < len(rows):
        return []
    marking = [tag for tag in rows if known[tag] != OUTSIDE]
    found = []
    if odd := _odd_letters(marking, rows, len(examples)):
        meant = next(filter(None, (_same_kind(tag, MEANT.get(letter_of(tag) or "", ""), marking) for tag in odd)), None)
        why = f"has a letter that is of no scheme with those of the other tags ({_shown(marking, odd)})"
        found.append(f"{place_of(odd[0], examples)} {why}.{_asked(meant)}")
    if odd := _odd_kinds(examples, marking):
        usual, first = [tag for tag in marking if tag not in odd], odd[0]
        more = f" ({len(odd)} tags are so: {', '.join(map(repr, odd[:6]))})" if len(odd) > 1 else ""
        found.append(f"{place_of(first, examples)} is of a kind that no other row has{more}.{_asked(_like(first, usual))}")
    return found


def _odd_letters(marking: Sequence[str], rows: Mapping[str, int], total: int) -> list[str]:
    counts = Counter[str]()
    for tag in marking:
        if letter := letter_of(tag):
            counts[letter] += rows[tag]
    rare = {letter for letter, n in counts.items() if n <= max(1, FEW * total)}
    usual = counts.keys() - rare
    scheme = next((letters for letters in SCHEMES if usual <= set(letters)), None)
    return [tag for tag in marking if usual and scheme and letter_of(tag) in rare - set(scheme)]


def _odd_kinds(examples: Sequence[Example], marking: Sequence[str]) -> list[str]:
    of = {tag: kind_of(tag) for tag in marking}
    rows = Counter(kind for e in examples for kind in {of[tag] for tag in e["tags"] if tag in of})
    return [tag for tag in marking if rows[of[tag]] == 1] if max(rows.values(), default=0) >= ENOUGH else []


def _same_kind(tag: str, letters: str, tags: Sequence[str]) -> str | None:
    of_kind = {letter_of(one): one for one in tags if kind_of(one) == kind_of(tag)}
    return next((of_kind[letter] for letter in letters if letter in of_kind), None)


def _like(odd: str, usual: Sequence[str]) -> str | None:
    """The tag of the same letter, if there is one, whose kind is near."""
    near = [tag for tag in usual if _are_near(kind_of(odd) or "", kind_of(tag) or "")]
    return next((tag for tag in near if letter_of(tag) == letter_of(odd)), next(iter(near), None))


def _are_near(one: str, other: str) -> bool:
    one, other = one.casefold(), other.casefold()
    return sorted(one) == sorted(other) or SequenceMatcher(None, one, other).ratio() >= NEAR


def _asked(meant: str | None) -> str:
    return f" Did you mean {meant!r}?" if meant else ""


def _shown(marking: Sequence[str], odd: Sequence[str]) -> str:
    return ", ".join([tag for tag in marking if tag not in odd][:6])


def tag_counts(examples: Sequence[Example]) -> Counter[str]:
    """How many words have each tag, in the order in which the tags come."""
    return Counter(tag for e in examples for tag in e["tags"])


def place_of(tag: str, examples: Sequence[Example]) -> str:
    """The row that first has this tag, and which of its words."""
    row = next(e for e in examples if tag in e["tags"])
    return f"{row['place']}: the tag {tag!r} (word {row['tags'].index(tag) + 1})"
