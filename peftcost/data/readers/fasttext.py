"""fastText's files: a line begins with its labels."""

from __future__ import annotations

import re

from peftcost.data.readers.base import Reader, Source
from peftcost.data.table import Rejects, Table
from peftcost.data.text import lines_of, reject_broken

LABELS = re.compile(r"\s*(?:__label__[^\s,]+(?:\s*,)?\s+)+")
LABEL = re.compile(r"__label__([^\s,]+)")


class FastText(Reader):
    """Columns text and label; labels, where a line has several."""

    name = "fastText"
    endings = (".ft",)
    shape = "__label__good and a text a line"

    def recognises(self, source: Source) -> bool:
        """Whether the first line begins with a label, whatever the ending."""
        return source.folder is None and LABELS.match(source.head) is not None

    def read(self, source: Source, reject: Rejects) -> Table:
        found: list[tuple[int, str, list[str]]] = []
        for number, line in enumerate(lines_of(source.text(reject)), start=1):
            begins = LABELS.match(line)
            if begins is None and line.strip():
                reject(f"{source.name}, line {number}: begins with no label and a text; write {self.shape}.")
            elif begins is not None and not reject_broken(line, source.name, number, reject):
                found.append((number, line[begins.end() :].strip(), LABEL.findall(begins[0])))
        several = any(len(labels) > 1 for _, _, labels in found)
        name = "labels" if several else "label"
        rows = [{"text": text, name: labels if several else labels[0]} for _, text, labels in found]
        return Table(source.name, ["text", name], rows, [number for number, _, _ in found])
