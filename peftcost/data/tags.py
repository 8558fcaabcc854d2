"""Tags of words: which spans of text the schemes IO, IOB1, IOB2, IOBES and BILOU mean."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

OUTSIDE = "O"
PREFIX = re.compile(r"([BIESLUMW])(?:[-_](.+))?")
SUFFIX = re.compile(r"(.+)[-_]([BIESLUMW])")
MEANS = {"L": "E", "U": "S", "W": "S", "M": "I"}
"""BILOU's and BMEWO's letters in those of IOBES."""


@lru_cache(maxsize=10_000)
def tag_parts(tag: str) -> tuple[str, str] | None:
    """A tag as one of B, I, E, S or O and the type of its entity, or None for one of no scheme.

    B-PER, B_PER, PER-B; a bare B has the type "". L is E, U and W are S, M is I.
    """
    if tag == OUTSIDE:
        return OUTSIDE, ""
    if found := PREFIX.fullmatch(tag):
        return MEANS.get(found[1], found[1]), found[2] or ""
    if found := SUFFIX.fullmatch(tag):
        return MEANS.get(found[2], found[2]), found[1]
    return None


def marks_spans(tags: Iterable[str]) -> bool:
    """Whether all of these are tags of a scheme, and they mark some entity."""
    found = {tag_parts(tag) for tag in set(tags)}
    return None not in found and bool(found - {(OUTSIDE, "")})


def marks_tags(values: Iterable[object]) -> bool:
    """Whether these are the tags of words: all of a scheme, O among them."""
    tags = {value for value in values if isinstance(value, str)}
    return OUTSIDE in tags and marks_spans(tags)
