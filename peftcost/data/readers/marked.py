"""Lines of a text that hold their labels or tags within, in ways that are not read."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from peftcost.data.cells import TAGGED, mostly
from peftcost.data.tags import marks_tags

LOOKED_AT = 200
"""Lines."""
LABELLED = re.compile(r"([^\s:,;|][^:,;|]{0,30}):\s+\S")
FEW_LABELS = 0.2
"""Of the lines, at most so many different ones begin them."""
SIGNS = "/_|"
KIND = re.compile(r"[A-Z][A-Z0-9$_-]*|[.,:()'`#]+|O")
"""A tag of a word, as of an entity, or of a part of speech."""
MARKUP = re.compile(r"<([A-Z]{3,}[A-Z_]*)>[^<>]+</\1>|<START:\w+> [^<>]+ <END>")
TAGS_WRITTEN = f"write its words and a tag for each, as in {TAGGED}"


def told_of_lines(lines: Sequence[str]) -> str | None:
    """What is to be done with lines, the first of them, too, that hold their labels or tags within; else None."""
    first = next((line for line in lines if line.strip()), "")
    return (told_of_tags(lines) if told_of_tags([first]) else None) or told_of_labels(lines)


def told_of_tags(lines: Sequence[str]) -> str | None:
    """What is to be done with texts with tags behind words (`Ann/B-PER`) or around them (`<PER>Ann</PER>`); else None."""
    lines = [line for line in lines[:LOOKED_AT] if line.strip()]
    marked = [found for line in lines if (found := MARKUP.search(line))]
    if lines and 2 * len(marked) > len(lines):
        return f"marks its words by {marked[0][0][:40]!r}; {TAGS_WRITTEN}"
    words = [word for line in lines for word in line.split()]
    for sign in SIGNS:
        tags = [word.rpartition(sign)[2] for word in words if sign in word[1:]]
        known = [tag for tag in tags if KIND.fullmatch(tag)]
        if len(words) > len(lines) and mostly(len(tags), len(words)) and (marks_tags(tags) or mostly(len(known), len(tags))):
            return f"has tags behind its words ({words[0]!r}); {TAGS_WRITTEN}"
    return None


def told_of_labels(lines: Sequence[str]) -> str | None:
    """Of lines that all begin with one of a few labels and a colon, what is to be done; else None."""
    lines = [line for line in lines[:LOOKED_AT] if line.strip()]
    found = [match[1] for line in lines if (match := LABELLED.match(line))]
    counts = Counter(found)
    if len(lines) < 4 or len(found) < len(lines) or len(counts) < 2 or len(counts) > max(2, FEW_LABELS * len(lines)):
        return None
    return (
        f"begins with a label and a colon ({found[0] + ':'!r}), as all lines do; write label<tab>text as the first line, and "
        "a tab in place of each of these colons"
    )
