"""CSV and its kin: cells with commas, semicolons, tabs or bars between them, below a header."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from peftcost.data.cells import lists_from_text
from peftcost.data.guess import KNOWN_NAMES
from peftcost.data.numbers import are_no_pairs
from peftcost.data.readers.base import Reader, Source
from peftcost.data.readers.marked import told_of_lines
from peftcost.data.readers.records import Layout, Record, physical_lines, plain_records, read_records
from peftcost.data.readers.swallowed import swallowing
from peftcost.data.table import Rejects, Table
from peftcost.data.text import reject_broken
from peftcost.errors import UserError

SEPARATORS = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "bars"}
SEPARATOR_OF = {".csv": ",", ".tsv": "\t", ".tab": "\t", ".psv": "|"}
WRITTEN_PLAIN = ("\t", "|")
"""Files with these are often written without any quoting."""
LOOKED_AT = 200
"""Records that show the layout."""
MOST_TITLES = 3
"""Lines above the header."""
LONGEST_CELL = 2**31 - 1
"""Characters; the csv module's own limit of 131,072 refuses long documents."""
SEP_LINE = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)
DECIMAL = re.compile(r"[-+]?\d+(,\d+)?")
RULE = re.compile(r"[:=+-]{3,}")
"""A cell of the line that is drawn below a header."""
NUMBER = re.compile(r"[-+]?(\d+([.,]\d*)?|[.,]\d+)([eE][-+]?\d+)?")


class Delimited(Reader):
    """The separator is found, not asked for."""

    name = "CSV or TSV"
    endings = (".csv", ".tsv", ".tab", ".psv", ".txt", "")
    shape = "a header (text,label) and one row a line"

    def read(self, source: Source, reject: Rejects) -> Table:
        return parse_delimited(source.name, source.text(reject), SEPARATOR_OF.get(source.ending), reject)


def parse_delimited(path: str, text: str, expected: str | None = None, reject: Rejects | None = None) -> Table:
    """The rows of a text with a header. expected: the separator that the file's ending promises.

    UserError for a missing header and for column names that stand twice; ragged rows and broken quotes go to `reject`.
    """
    reject = reject or Rejects()
    with _long_cells():
        lines = physical_lines(text)
        if (told := told_of_lines(lines)) is not None:
            raise UserError(f"{path}, line 1: {told}.")
        del text  # it takes as much memory again, and four times that where one character needs it
        start, named = _sep_line(lines)
        separator = named or _find_separator(lines[start:], expected)
        layout = Layout(separator, _spaces_behind(lines[start:], separator))
        records = list(read_records(lines, start, layout))
        header, *found = _trimmed(records) or [Record(1, 1, [])]
        notes = _notes_on_layout(layout, expected)
        odd = swallowing([header, *found], lines, layout)
        often_plain = separator in WRITTEN_PLAIN
        doubtful = (r for r in [header, *found] if r.problem or r in odd or (often_plain and r.last > r.first))
        broken = min((record.first for record in doubtful), default=None)
        if broken is not None and often_plain and (plain := plain_records(lines, start, layout)):
            header, *found = _trimmed(plain)
            notes.append(f"its quotes do not match (line {broken}), so they are read as characters like others")
        else:
            for record in odd:
                found = _without(found, record, path, lines, layout, reject)
    if found and _is_rule(found[0]):
        notes.append(f"line {found[0].first} is a rule below the header; no row is read of that")
        found = found[1:]
    first_names = _bare_names(header)
    again = [record for record in found if _bare_names(record) == first_names and len(record.cells) > 1]
    if again:  # files that were put one behind the other
        found = [record for record in found if _bare_names(record) != first_names]
        lines_again = f"line {again[0].first} repeats" if len(again) == 1 else f"{len(again)} lines repeat"
        notes.append(f"{lines_again} the header; no row is read of that")
    names = _column_names(path, header, found, layout)
    rows, kept = [], []
    for record in found:
        if _usable(path, record, names, separator, reject):
            rows.append(dict(zip(names, record.cells, strict=True)))
            kept.append(record)
    for name in names:
        if _has_decimal_commas([row[name] for row in rows], separator):
            rows = [{**row, name: row[name].replace(",", ".")} for row in rows]
            notes.append(f"column {name!r} holds numbers with decimal commas")
    if not rows and not reject.told:
        raise UserError(f"{path} has a header but no rows; add rows below it.")
    spread = [record for record in kept if record.last > record.first]
    if spread:
        longest = max(spread, key=lambda record: record.last - record.first)
        where = f"lines {longest.first} to {longest.last}"
        notes.append(f"{len(spread)} of {len(kept)} rows hold line breaks in a quoted cell (the longest: {where})")
    return lists_from_text(
        Table(path, names, rows, [record.first for record in kept], notes=[f"{path}: {n}." for n in notes])
    )


def _has_decimal_commas(cells: Sequence[str], separator: str) -> bool:
    """Whether all cells that are there are numbers, some with a comma before their decimals, as German Excel writes them.
    With tabs or bars only if one is no pair of numbered labels: 2,2 or 0,05."""
    there = [cell.strip() for cell in cells if cell.strip()]
    if separator == "," or not all(DECIMAL.fullmatch(cell) for cell in there):
        return False
    return any("," in cell for cell in there) if separator == ";" else are_no_pairs(there)


def _usable(path: str, record: Record, names: Sequence[str], separator: str, reject: Rejects) -> bool:
    """Whether a record is a row; what is none is told."""
    if record.problem is not None:
        reject(
            f"{path}, line {record.first}: its quotes do not match ({record.problem}); close each quoted cell, and write a "
            'quote inside of one twice ("").'
        )
        return False
    if len(record.cells) != len(names):
        expected = f"{len(names)} cells as in the header" if len(names) > 1 else f"1 cell as in the header ({names[0]!r})"
        divide = "" if len(names) > 1 else "divide columns by commas, semicolons, tabs or bars, and "
        reject(
            f"{path}, line {record.first}: expected {expected}, but got {len(record.cells)}; {divide}put "
            f'quotes (") around cells that hold one of the {SEPARATORS.get(separator, "separators")} or a line break.'
        )
        return False
    return not reject_broken("\n".join(record.cells), path, record.first, reject)


def _trimmed(records: Sequence[Record]) -> list[Record]:
    """The records without blank lines; in a file of one column a blank line between others is an empty cell."""
    filled = (i for i, record in enumerate(records) if record.problem or any(map(str.strip, record.cells)))
    last = max(filled, default=-1)
    first = next((i for i, record in enumerate(records) if not record.blank), 0)
    found = list(records[first : last + 1])
    if found and len(found[0].cells) == 1:
        return [Record(record.first, record.last, [""]) if record.blank else record for record in found]
    return [record for record in found if not record.blank]


def _sep_line(lines: Sequence[str]) -> tuple[int, str | None]:
    """How many lines to pass over, and the separator that Excel's first line `sep=;` names."""
    found = SEP_LINE.fullmatch(lines[0]) if lines else None
    return (1, found[1]) if found else (0, None)


@dataclass(frozen=True)
class _Fit:
    """How a separator suits a file. share: of the records, those that have as many cells as the header."""

    cells: int
    share: float


def _find_separator(lines: Sequence[str], expected: str | None) -> str:
    """The separator that cuts the header and most records into the same number of cells, two or more."""
    fits = {separator: _fit(lines, separator) for separator in SEPARATORS}
    own = expected or ","
    if fits[own].cells > 1 and fits[own].share > 0.5:
        return own
    several = [separator for separator in SEPARATORS if fits[separator].cells > 1 and fits[separator].share > 0.5]
    return max(several, key=lambda s: (fits[s].share, s == own, fits[s].cells)) if several else own


def _head(lines: Sequence[str], layout: Layout) -> list[Record]:
    """The first records, blank ones apart. Not that within whose quotes the lines that are looked at end, nor its lines."""
    shown = lines[: LOOKED_AT * 2]
    found: list[Record] = []
    for record in read_records(shown, 0, layout):
        if record.problem is not None and record.first > LOOKED_AT and len(lines) > len(shown):
            break
        if not record.blank:
            found.append(record)
    return found[:LOOKED_AT]


def _fit(lines: Sequence[str], separator: str) -> _Fit:
    head = _head(lines, Layout(separator, True))
    if not head:
        return _Fit(0, 0.0)
    cells = len(head[0].cells)
    return _Fit(cells, sum(len(record.cells) == cells for record in head) / len(head))


def _spaces_behind(lines: Sequence[str], separator: str) -> bool:
    """Whether each separator of the header, or of the first rows, has a space behind it: `text, label`."""
    if separator == "\t":
        return False
    head = _head(lines, Layout(separator, False))
    behind = [all(cell[:1] == " " for cell in record.cells[1:]) for record in head if len(record.cells) > 1]
    return bool(behind) and (behind[0] or sum(behind[1:]) > 0.9 * len(behind))


def _notes_on_layout(layout: Layout, expected: str | None) -> list[str]:
    if layout.separator == (expected or ","):
        return []
    return [f"its cells are separated by {SEPARATORS.get(layout.separator, repr(layout.separator))}"]


def _column_names(path: str, header: Record, records: Sequence[Record], layout: Layout) -> list[str]:
    """The header's names; a column without one is called after its place. UserError when line 1 is a row, or a name
    stands twice."""
    names = [cell.strip() or f"column {i}" for i, cell in enumerate(header.cells, start=1)]
    if header.problem is not None:
        raise UserError(
            f"{path}, line {header.first}: the quotes of the header do not match ({header.problem}); correct them."
        )
    if reject_broken("\n".join(names), path, header.first, Rejects()):
        return names
    _check_no_title(path, header, [record for record in records if record.problem is None and not record.blank], layout)
    sign = _sign_of_no_header(names, [record.cells for record in records[:LOOKED_AT]])
    if sign is not None:
        shape = layout.separator.join(["text", "label", *(f"column{i}" for i in range(3, len(names) + 1))][: len(names)])
        raise UserError(
            f"{path}, line {header.first}: is a row where a header should be ({sign}); write the columns' names as the first "
            f"line, as in {shape.replace(chr(9), '<tab>')}."
        )
    for i, name in enumerate(names):
        if name in names[:i]:
            raise UserError(
                f"{path}, line {header.first}: the column name {name!r} stands twice (columns {names.index(name) + 1} and "
                f"{i + 1}); rename one of them."
            )
    return names


def _check_no_title(path: str, header: Record, records: Sequence[Record], layout: Layout) -> None:
    """UserError for a title above the header: a header of other names follows, or all rows have other cells than it."""
    known = _known_names(header)
    joint = layout.separator + " " * layout.spaces_behind
    title = f"{path}, line {header.first}: {joint.join(header.cells).strip(joint)!r}"
    again = next((record for record in records[:MOST_TITLES] if _known_names(record) > max(1, known)), None)
    if again is not None:
        raise UserError(
            f"{title} stands above the columns' names (line {again.first}); remove it, so that they are the first line."
        )
    first = next((i for i, record in enumerate(records[:MOST_TITLES]) if len(record.cells) != len(header.cells)), 0)
    widths = {len(record.cells) for record in records[first:]}
    if len(records) < first + 2 or len(widths) > 1 or widths <= {1, len(header.cells)} or (known and len(header.cells) > 1):
        return
    cells = "one cell" if len(header.cells) == 1 else f"{len(header.cells)} cells"
    rows = f"all rows from line {records[first].first} on" if first else "all rows"
    raise UserError(
        f"{title} is {cells} where a header should be, and {rows} have {min(widths)}; write the columns' names as the first "
        "line, without a title above them."
    )


def _is_rule(record: Record) -> bool:
    """Whether a line is drawn, as Markdown and databases do below a table's header."""
    return record.problem is None and all(RULE.fullmatch(cell.strip()) for cell in record.cells if cell.strip())


def _bare_names(record: Record) -> list[str]:
    """The cells without case, and without the byte order mark that a file put behind another one begins with."""
    return [cell.strip().removeprefix("\ufeff").strip('"').casefold() for cell in record.cells]


def _known_names(record: Record) -> int:
    """How many of the cells are what columns are called."""
    return sum(cell.strip().lower() in KNOWN_NAMES for cell in record.cells)


def _sign_of_no_header(names: Sequence[str], rows: Sequence[Sequence[str]]) -> str | None:
    """What shows that the first line is a row: a class, a number or an empty place that its column has below, too."""
    if list(names) == [str(i) for i in range(len(names))] or len(names) < 2:  # as pandas numbers columns
        return None
    columns = [[cells[i].strip() for cells in rows if len(cells) == len(names)] for i in range(len(names))]
    labels = _numbered_labels(names, columns)
    named = any(name.lower() in KNOWN_NAMES and name not in below for name, below in zip(names, columns, strict=True))
    for i, (name, below) in enumerate(zip(names, columns, strict=True)):
        if i in labels:
            continue
        if name in below and not named:  # text,spam is a header above spam and ham
            return f"{name!r} stands in column {i + 1} again"
        if len(below) > 1 and NUMBER.fullmatch(name) and all(NUMBER.fullmatch(cell) for cell in below):
            return f"column {i + 1} holds numbers, and {name!r} is one"
    return None


def _numbered_labels(names: Sequence[str], columns: Sequence[Sequence[str]]) -> list[int]:
    """The columns of labels that are called by numbers in a row, as 1, 2 and 3, and hold nothing but 0 and 1."""
    at = [i for i, name in enumerate(names) if name.isdecimal()]
    numbers = [int(names[i]) for i in at]
    in_a_row = len(at) > 1 and numbers == list(range(numbers[0], numbers[0] + len(at)))
    return at if in_a_row and numbers[-1] > 1 and all(set(columns[i]) <= {"0", "1", ""} for i in at) else []


def _without(
    found: Sequence[Record], odd: Record, path: str, lines: Sequence[str], layout: Layout, reject: Rejects
) -> list[Record]:
    """The records, with the rows that `odd` swallowed in its place; the lines of both stray quotes are told."""
    reject(
        f"{path}, line {odd.first}: a quote opens a cell that goes on to line {odd.last} and takes in what seem to be rows; "
        'remove the stray quotes of both lines, or write the cell of a quote as "a ""quoted"" word".'
    )
    reject(f"{path}, line {odd.last}: closes the cell that line {odd.first} opens.")
    between = [Record(n, n, lines[n - 1].rstrip("\r\n").split(layout.separator)) for n in range(odd.first + 1, odd.last)]
    at = found.index(odd)
    return [*found[:at], *between, *found[at + 1 :]]


@contextmanager
def _long_cells() -> Iterator[None]:
    before = csv.field_size_limit(LONGEST_CELL)
    try:
        yield
    finally:
        csv.field_size_limit(before)
