"""JSON: one object a line, or an array of objects."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from peftcost.data.cells import holds_within, marks_characters, told_of_characters
from peftcost.data.guess import is_conversation
from peftcost.data.readers.base import Reader, Source
from peftcost.data.split_folder import are_splits
from peftcost.data.table import Rejects, Table
from peftcost.data.text import lines_of, reject_broken
from peftcost.errors import UserError

SPACE = re.compile(r"\s*")
LINES = (".jsonl", ".ndjson")
"""Endings of files with an object a line, even if it is one."""
ROW = 'one object a row, as in {"text": "…", "label": "…"}'
TURNS = "messages"
"""The column of conversations that stand there without a name."""


class JsonLines(Reader):
    """A key that a row lacks is missing there."""

    name = "JSON lines or a JSON array"
    endings = (".jsonl", ".ndjson", ".json")
    shape = ROW

    def recognises(self, source: Source) -> bool:
        if source.folder is not None or source.ending in self.endings:
            return False
        start = source.head.lstrip()
        if source.ending == "" and start.startswith("{"):
            return True
        return re.match(r"\[\s*\[?\s*\{\s*\"", start) is not None or _is_object(start.partition("\n")[0])

    def read(self, source: Source, reject: Rejects) -> Table:
        text = source.text(reject)
        if re.match(r"\s*\[\s*(\[?\s*\{|\]\s*$)", text) and not _is_conversation_a_line(text, source.ending):
            return parse_json_array(source.name, text, reject)
        whole = _whole_object(source.name, text, source.ending) if source.ending not in LINES else None
        return whole if whole is not None else parse_json_lines(source.name, text, reject)


def parse_json_lines(path: str, text: str, reject: Rejects | None = None) -> Table:
    """One JSON object a line; lines that are none go to `reject`."""
    reject = reject or Rejects()
    columns: dict[str, None] = {}
    rows, lines, same, bare = [], [], dict[str, str](), 0
    for line, content in enumerate(lines_of(text), start=1):
        if not content.strip():
            continue
        try:
            row = json.loads(content, object_pairs_hook=_without_repeats)
        except (ValueError, RecursionError) as error:
            reject(f"{path}, line {line}: is not JSON ({_said(error)}); write one JSON object a line.")
            continue
        if is_conversation(row):
            row, bare = {TURNS: row}, bare + 1
        if not isinstance(row, dict):
            reject(_no_row(row, f"{path}, line {line}"))
            continue
        if reject_broken(content, path, line, reject):
            continue
        columns |= dict.fromkeys(row)
        rows.append(_sharing(row, same))
        lines.append(line)
    return Table(path, list(columns), rows, lines, notes=_told_of_turns(path, bare))


def parse_json_array(path: str, text: str, reject: Rejects | None = None, start: int | None = None) -> Table:
    """An array of JSON objects. start: where its bracket stands. UserError for broken JSON, behind which nothing can be read;
    an element that is no object goes to `reject`."""
    reject = reject or Rejects()
    decoder = json.JSONDecoder(object_pairs_hook=_without_repeats)
    at = (text.index("[") if start is None else start) + 1
    line, counted, bare = 1, 0, 0
    columns: dict[str, None] = {}
    rows: list[dict[str, Any]] = []
    lines: list[int] = []
    same: dict[str, str] = {}
    while True:
        at = _behind_space(text, at)
        line, counted = line + text.count("\n", counted, at), at
        if text.startswith("]", at) and not rows and not reject.told:
            break
        try:
            row, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            raise UserError(f"{path}, line {line}: is not JSON ({_said(error)}); write an array of objects.") from error
        if is_conversation(row):
            row, bare = {TURNS: row}, bare + 1
        if not isinstance(row, dict):
            reject(_no_row(row, f"{path}, line {line}"))
        elif not reject_broken(text[at:end], path, line, reject):
            columns |= dict.fromkeys(row)
            rows.append(_sharing(row, same))
            lines.append(line)
        at = _behind_space(text, end)
        if text.startswith("]", at):
            break
        if not text.startswith(",", at):
            line += text.count("\n", counted, at)
            raise UserError(f"{path}, line {line}: a comma or ] is missing behind an object of the array; write it there.")
        at += 1
    rest = text[at + 1 :].strip()
    if rest and start is None:
        line = text.count("\n", 0, at) + 1
        raise UserError(f"{path}, line {line}: the array ends, but {rest[:20]!r} follows; keep one array.")
    return Table(path, list(columns), rows, lines, notes=_told_of_turns(path, bare))


def _no_row(found: Any, where: str) -> str:
    """What is wrong with JSON that is no object."""
    if holds_within(found, marks_characters):  # as spaCy has it: ["Ann left", {"entities": [[0, 3, "PER"]]}]
        return f"{where}: {told_of_characters()}."
    return f"{where}: expected a JSON object, but got {type(found).__name__}; write {ROW}."


def _sharing(row: dict[str, Any], same: dict[str, str]) -> dict[str, Any]:
    """The row, with equal strings of its lists as one string: else words and tags take most of the memory of tagged rows."""
    return {
        name: [same.setdefault(item, item) if isinstance(item, str) else item for item in value]
        if isinstance(value, list)
        else value
        for name, value in row.items()
    }


def _whole_object(path: str, text: str, ending: str) -> Table | None:
    """The table of a file that is one JSON object with rows in one of its fields, or one row with a conversation; None for a
    file of other shapes. A single line that has no ending and several fields is a row.

    UserError for an object of columns, as pandas writes it.
    """
    one_line = "\n" not in text.strip()
    if one_line and not re.search(r"[\[{].*[\[{]", text[:10_000]):
        return None
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError):
        return None
    typed = one_line and not ending
    if not isinstance(whole, dict) or (typed and len(whole) > 1):
        return None
    if any(map(is_conversation, whole.values())):
        return parse_json_array(path, f"[{text}]")
    fields = [name for name, value in whole.items() if _is_rows(value)]
    if len(fields) == 1:
        place = re.search(re.escape(json.dumps(fields[0])) + r"\s*:\s*\[", text)
        table = parse_json_array(path, text, start=place.end() - 1) if place else None
        if table is not None and len(table.rows) == len(whole[fields[0]]):
            table.notes.append(f"{path}: its rows are those of the field {fields[0]!r}.")
            return table
    if are_splits(whole) and all(map(_is_rows, whole.values())):
        raise UserError(
            f"{path}, line 1: holds several splits ({', '.join(whole)}); write each into a file of its own, and name them in "
            f"task.yaml, as in data: {{train: train.jsonl, …}}."
        )
    if whole and not typed and holds_within(whole, marks_characters):  # as spaCy's annotators write it
        raise UserError(f"{path}, line 1: {told_of_characters()}.")
    if whole and not typed and all(isinstance(value, list | dict) and value for value in whole.values()):
        raise UserError(
            f"{path}, line 1: is one JSON object with the fields {', '.join(map(repr, list(whole)[:5]))}, not a row each; "
            f"write {ROW} (pandas: to_json(…, orient='records'))."
        )
    return None


def _is_conversation_a_line(text: str, ending: str) -> bool:
    """Whether the first line holds a conversation, and is one row of several; of a file that holds nothing else, its ending
    tells."""
    first, _, others = text.strip().partition("\n")
    try:
        return (bool(others) or ending in LINES) and is_conversation(json.loads(first))
    except (ValueError, RecursionError):
        return False


def _told_of_turns(path: str, rows: int) -> list[str]:
    return [f"{path}: an array of turns is read as the {TURNS!r} of a row, in {rows} rows."] if rows else []


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _is_rows(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, dict) for row in value)


def _behind_space(text: str, at: int) -> int:
    found = SPACE.match(text, at)
    return found.end() if found is not None else at


def _said(error: Exception) -> str:
    """The error without the place, which is counted from the object's start."""
    return getattr(error, "msg", str(error)) or type(error).__name__


def _without_repeats(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {next(name for name in names if names.count(name) > 1)!r} stands twice")
    return row
