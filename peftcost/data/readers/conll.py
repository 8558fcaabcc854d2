"""CoNLL and BIO files: a word and its tags a line, blank lines between sentences."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import chain, islice

from peftcost.data.cells import mostly
from peftcost.data.guess import LABEL_NAMES
from peftcost.data.readers.base import Reader, Source
from peftcost.data.sentences import ONE_WORD_NAMES
from peftcost.data.table import Rejects, Table
from peftcost.data.tags import OUTSIDES, marks_kinds, marks_tags
from peftcost.data.text import lines_of, reject_broken
from peftcost.errors import UserError

DOCUMENT = "-DOCSTART-"
COMMENTS = ("# ", "#\t")
SIGNS = {"|": "bars", ",": "commas", ";": "semicolons"}
"""What divides words from tags in files that only look like CoNLL's."""
LOOKED_AT = 500
"""Lines that show whether this is such a file."""


class Conll(Reader):
    """The first column is the words (the second, where the first counts them, or of two holds the tags), the last one that
    holds entities' tags the tags (the last one, where none does)."""

    name = "CoNLL"
    endings = (".conll", ".bio", ".iob", ".iob2", ".bioes", ".bilou")
    shape = "a word and its tag a line, blank lines between sentences"

    def recognises(self, source: Source) -> bool:
        """Blank lines between blocks of lines of equally many parts, but for an odd one; one of which is an entity's tag."""
        if source.folder is not None or source.ending not in (".txt", ".tsv", ".csv", ""):
            return False
        lines = [line for line in islice(_lines(source.head), LOOKED_AT) if not line.startswith((DOCUMENT, *COMMENTS))]
        tabs = any("\t" in line for line in lines)
        blocks = [[_parts(line, tabs) for line in block] for block in _blocks(lines)]
        if len(blocks) < 2 or _is_header(blocks[0][0]):
            return False
        everything = [part for block in blocks for part in block]
        width = Counter(map(len, everything)).most_common(1)[0][0]
        parts = [part for part in everything if len(part) == width]
        if width < 2 or not mostly(len(parts), len(everything)):
            return False
        columns = list(zip(*parts, strict=True))
        return _tags_first(columns) or any(map(marks_tags, columns[1:])) or marks_kinds(columns[-1])

    def read(self, source: Source, reject: Rejects) -> Table:
        return parse_conll(source.name, source.text(reject), reject)


def parse_conll(path: str, text: str, reject: Rejects | None = None) -> Table:
    """Sentences with the columns tokens and tags, and `column 2` and so on for what stands beside them.

    Parts are divided by tabs if the file has any, else by spaces. Lines with # that are no words, and -DOCSTART- lines, are
    passed over. A line with too few or too many parts goes to `reject`, with its sentence.
    """
    reject = reject or Rejects()
    _check_parts_divided(path, list(islice(_lines(text), LOOKED_AT)))
    tabs = "\t" in text
    width, lasts = _shape(_lines(text), tabs)
    if width == 0:
        raise UserError(f"{path} holds no words; write {Conll.shape}.")
    counted = width > 2 and _counts(islice(_lines(text), LOOKED_AT), tabs, width, lasts)
    seen: list[dict[str, str]] = [{} for _ in range(width)]  # what stands in each part; equal ones become one string
    sentences: list[list[list[str]]] = []
    places: list[int] = []
    for start, sentence in _sentences(_lines(text), tabs, width, lasts):
        words = [parts for _, parts in sentence if len(parts) == width]
        columns = [[same.setdefault(parts[i], parts[i]) for parts in words] for i, same in enumerate(seen)]
        if all(_readable(path, start + i, parts, width, reject) for i, parts in sentence):
            sentences.append(columns)
            places.append(start)
    turned = _tags_first(seen)
    if turned:
        seen, sentences = seen[::-1], [columns[::-1] for columns in sentences]
    tags, notes = _tags_of(path, seen, counted)
    notes += [f"{path}: its tags are part 1 of each line, its words part 2."] if turned else []
    named = {int(counted): "tokens"} | ({tags: "tags"} if tags > counted else {})
    names = [named.get(i, f"column {i + 1}") for i in range(counted, width)]
    rows = [dict(zip(names, columns[counted:], strict=True)) for columns in sentences]
    return Table(path, names, rows, places, notes=notes)


def _is_header(parts: Sequence[str]) -> bool:
    """Whether a line names columns of words and of tags, so that the file is a table with one word a row."""
    names = {part.strip().lower() for part in parts}
    return not (names.isdisjoint(ONE_WORD_NAMES) or names.isdisjoint(LABEL_NAMES))


def _check_parts_divided(path: str, lines: Sequence[str]) -> None:
    """UserError for words, a sentence or one a line, with their tags behind bars or commas."""
    words = [word for line in lines if not line.startswith((DOCUMENT, *COMMENTS)) for word in line.split()]
    for sign, name in SIGNS.items():
        tags = [word.rpartition(sign)[2] for word in words if sign in word[1:]]
        if mostly(len(tags), len(words)) and marks_tags(tags):
            raise UserError(
                f"{path}, line 1: tags stand behind {name} ({words[0]}); write a word and its tag a line, a space between, "
                "and a blank line behind each sentence."
            )


def _tags_first(columns: Sequence[Collection[str]]) -> bool:
    """Whether, of two parts, the first alone marks entities: `B-ACTOR`, then `steve`."""
    return len(columns) == 2 and marks_tags(columns[0]) and not marks_tags(columns[1])


def _tags_of(path: str, columns: Sequence[Collection[str]], counted: bool) -> tuple[int, list[str]]:
    """Which part of each word's line is its tag, counted from 0, and what is to be told of that."""
    last = len(columns) - 1
    marking = [i for i in range(1 + counted, last + 1) if marks_tags(columns[i])]
    tags = last if not marking or not OUTSIDES.isdisjoint(columns[last]) else marking[-1]
    others = [f"part {i + 1} (`column {i + 1}`)" for i in marking if i != tags]
    too = f"; {' and '.join(others)} marks entities, too" if others else ""
    told = [f"{path}: its tags are part {tags + 1} of each line{too}."] if others or tags < last else []
    return tags, told


def _readable(path: str, line: int, parts: Sequence[str], width: int, reject: Rejects) -> bool:
    if len(parts) != width:
        reject(
            f"{path}, line {line}: expected {width} parts as in the other lines, but got {len(parts)}; write a word and its "
            "tags, and a blank line behind each sentence."
        )
        return False
    return not reject_broken("\t".join(parts), path, line, reject)


def _sentences(
    lines: Iterable[str], tabs: bool, width: int, lasts: Collection[str]
) -> Iterator[tuple[int, list[tuple[int, list[str]]]]]:
    """Where each sentence begins, and its lines (their distance from there, and their parts)."""
    start = 0
    found: list[tuple[int, list[str]]] = []
    for number, line in enumerate(chain(lines, [""]), start=1):
        parts = _parts(line, tabs)
        if _blank(parts):
            if found:
                yield start, found
            found = []
        elif not line.startswith(DOCUMENT) and not (line.startswith("#") and _is_comment(parts, width, lasts)):
            start = start if found else number
            found.append((number - start, parts))


def _lines(text: str) -> Iterator[str]:
    return (line.rstrip("\r") for line in lines_of(text))


def _blocks(lines: Iterable[str]) -> Iterator[list[str]]:
    block: list[str] = []
    for line in chain(lines, [""]):
        if line.strip():
            block.append(line)
        elif block:
            yield block
            block = []


def _parts(line: str, tabs: bool) -> list[str]:
    """Parted by tabs, with no spaces around tags, or by spaces alone: a no-break space may belong to a word."""
    word, *others = line.split("\t") if tabs else re.split(" +", line.strip(" "))
    return [word, *(part.strip(" ") for part in others)]


def _blank(parts: Sequence[str]) -> bool:
    """Whether a line holds nothing but spaces and tabs."""
    return not any(map(str.strip, parts))


def _is_comment(parts: Sequence[str], width: int, lasts: Collection[str]) -> bool:
    """Whether a line that begins with # is no word: it has other parts, or its last is no tag of the other lines."""
    return len(parts) != width or parts[-1] not in lasts


def _shape(lines: Iterable[str], tabs: bool) -> tuple[int, set[str]]:
    """How many parts most lines have, and what the last one is in those of them that do not begin with #."""
    widths: Counter[int] = Counter()
    lasts: dict[int, set[str]] = {}
    for line in lines:
        parts = _parts(line, tabs)
        if not _blank(parts):
            widths[len(parts)] += 1
            found = lasts.setdefault(len(parts), set())
            if not line.startswith("#"):
                found.add(parts[-1])
    width = widths.most_common(1)[0][0] if widths else 0
    return width, lasts.get(width, set())


def _counts(lines: Iterable[str], tabs: bool, width: int, lasts: Collection[str]) -> bool:
    """Whether the first part counts the words of a sentence from 0 or 1 on."""
    for _, sentence in _sentences(lines, tabs, width, lasts):
        firsts = [parts[0] for _, parts in sentence]
        if firsts not in ([str(i) for i in range(len(firsts))], [str(i + 1) for i in range(len(firsts))]):
            return False
    return True
