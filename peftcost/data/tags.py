"""Tags of words: which spans of text the schemes IO, IOB1, IOB2, IOBES and BILOU mean."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache

OUTSIDE = "O"
OUTSIDES = frozenset(("O", "o"))
LIKE_OUTSIDE = ("0", "\N{GREEK CAPITAL LETTER OMICRON}", "\N{CYRILLIC CAPITAL LETTER O}")
"""What is typed for O by mistake."""
PREFIX = re.compile(r"([BIESLUMW])(?:[-_:/](.+))?")
SUFFIX = re.compile(r"(.+)[-_:/]([BIESLUMW])")
SMALL_PREFIX = re.compile(r"[obieslumw]|[bieslumw][-_:/].+")
SEVERAL = re.compile(r"([BIESLUMW][-_:/][^,;|+]+)[,;|+] *[BIESLUMW][-_:/].+")
SEPARATORS = str.maketrans("_:/", "---")
KIND = re.compile(r"[^\W\d_][\w./-]*")
OFTEN = 0.25
"""Of the tags of words, at least so many are O."""
FEW_KINDS = 0.25
"""Of the words, at most so many different tags: what has more of them is no column of tags."""
MEANS = {"L": "E", "U": "S", "W": "S", "M": "I"}
"""BILOU's and BMEWO's letters in those of IOBES."""


@lru_cache(maxsize=10_000)
def tag_parts(tag: str) -> tuple[str, str] | None:
    """A tag as one of B, I, E, S or O and the type of its entity, or None for one of no scheme.

    B-PER, B_PER, B:PER, B/PER, PER-B; a bare B has the type "". L is E, U and W are S, M is I.
    """
    if tag == OUTSIDE:
        return OUTSIDE, ""
    if found := PREFIX.fullmatch(tag):
        return MEANS.get(found[1], found[1]), found[2] or ""
    if found := SUFFIX.fullmatch(tag):
        return MEANS.get(found[2], found[2]), found[1]
    return None


def in_capitals(tag: str) -> str | None:
    """A tag as `tag_parts` knows it, of one that may be written with small letters (b-per, o); None for one of no scheme."""
    if tag_parts(tag) is not None:
        return tag
    return tag[0].upper() + tag[1:] if SMALL_PREFIX.fullmatch(tag) else None


def known_tags(tags: Iterable[str]) -> dict[str, str]:
    """Those of these tags that are of a scheme, each as `tag_parts` knows it.

    Where none but O has a letter, the others are kinds of entities (PER, PER, O): each run of one kind is one entity.
    """
    different = sorted(set(tags))
    found = {tag: capital for tag in different if (capital := in_capitals(tag)) is not None}
    if any(map(kind_of, found)):  # a bare B is no tag beside B-PER
        found = {tag: capital for tag, capital in found.items() if kind_of(tag) != ""}
    if set(found.values()) == {OUTSIDE}:
        found |= {tag: f"I-{tag}" for tag in different if tag not in found and tag not in LIKE_OUTSIDE}
    return found


def kind_of(tag: str) -> str | None:
    """The kind of entity that a tag marks, or None for O. A tag of no scheme is a kind of its own."""
    capital = in_capitals(tag)
    if capital == OUTSIDE:
        return None
    parts = None if capital is None else tag_parts(capital)
    return tag if parts is None else parts[1]


def letter_of(tag: str) -> str | None:
    """The letter of a tag as it is written, in capitals (U of U-PER); None for O and tags without one."""
    capital = in_capitals(tag) or ""
    found = PREFIX.fullmatch(capital)
    suffix = SUFFIX.fullmatch(capital)
    return found[1] if found else suffix[2] if suffix else None


def first_of_several(tag: str) -> str | None:
    """The first of the tags that one word has (B-LOC,B-ORG), or None where it has one."""
    found = SEVERAL.fullmatch(tag)
    return None if found is None else found[1]


def written_in_two_ways(counts: Counter[str]) -> tuple[str, str] | None:
    """Two tags that mean the same, the rarer one first, or None: B-PER beside B_PER, b-per, PER, or with a sign that does
    not show. None among tags that mark no entities, as parts of speech do: NN and NN-S are two. counts: of each tag, how many
    words have it."""
    known = sum(n for tag, n in counts.items() if in_capitals(tag) is not None)
    if 2 * known < counts.total() and sum(counts[tag] for tag in OUTSIDES) < OFTEN * counts.total():
        return None
    usual: dict[str, str] = {}
    of_kind: dict[str, str] = {}
    for tag, _ in counts.most_common():
        if in_capitals(tag) is None:
            continue
        if (before := usual.setdefault(_bare(tag), tag)) != tag:
            return tag, before
        of_kind.setdefault(_bare(kind_of(tag) or ""), tag)
    for tag in counts:
        if in_capitals(tag) is None and (lettered := of_kind.get(_bare(tag))) is not None:
            rarer, other = sorted((tag, lettered), key=lambda one: counts[one])
            return rarer, other
    return None


def marks_spans(tags: Iterable[str]) -> bool:
    """Whether all of these are tags of a scheme, and they mark some entity."""
    found = set(map(in_capitals, set(tags)))
    return None not in found and bool(found - {OUTSIDE})


def marks_tags(values: Iterable[object]) -> bool:
    """Whether these are the tags of words: all of a scheme, O among them. A bare o beside b may be something else."""
    tags = {value.strip() for value in values if isinstance(value, str)}
    return (OUTSIDE in tags or ("o" in tags and any(map(kind_of, tags)))) and marks_spans(tags)


def marks_kinds(values: Sequence[object]) -> bool:
    """Whether these are tags of words without letters (PER, PER, O): many times O, and a few kinds."""
    counts = Counter(value.strip() for value in values if isinstance(value, str))
    few = 1 < len(counts) <= max(2, FEW_KINDS * len(values))
    often = max(counts[outside] for outside in OUTSIDES) >= OFTEN * len(values)
    return few and often and counts.total() == len(values) and all(map(KIND.fullmatch, counts))


def _bare(tag: str) -> str:
    """A tag without case, signs that do not show, and the choice of its separator."""
    shown = "".join(c for c in tag if unicodedata.category(c) != "Cf" and not c.isspace())
    return shown.casefold().translate(SEPARATORS)
