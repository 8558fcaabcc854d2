"""What the rows of a task tell before anything is trained: pure functions of validated examples.

`peftcost check` shows all of it, and every command that trains gives the warnings.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation

import numpy as np

from peftcost.tasks.base import Example, TaskType
from peftcost.tasks.targets import Classes, Labels, Targets

SPLITS = ("train", "dev", "test")
NAMED = 5
"""Classes that a warning names."""
LIKE_NOTHING = ("-", "--", "?", "n/a", "#n/a", "na", "nan", "<na>", "null", "nil", "#ref!", "#value!", "#name?", "#div/0!")
"""What programs write where there is no value, in small letters."""
EXCEL_DATE = re.compile(
    r"\d{1,2}-(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)|(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)-\d\d"
)
"""What Excel makes of 1-5 and of 5/1."""
BETWEEN_CLASSES = ("|", ";", ",", "/", "+", "&", " ")


def contradictions(kind: TaskType, examples: Sequence[Example]) -> list[str]:
    """A warning when the same content stands with different labels."""
    first: dict[str, Example] = {}
    odd: dict[str, tuple[Example, Example]] = {}
    for example in examples:
        content = kind.content(example)
        before = first.setdefault(content, example)
        if kind.answer(before) != kind.answer(example):
            odd.setdefault(content, (before, example))
    if not odd:
        return []
    one, other = next(iter(odd.values()))
    return [
        f"{count(len(odd), 'input stands', 'inputs stand')} with different labels in different rows (for example "
        f"{one['place']} and {other['place']}); no model can learn them all."
    ]


def count_copies(kind: TaskType, examples: Sequence[Example]) -> int:
    """How many rows are copies of another one."""
    return len(examples) - len({kind.content(example) for example in examples})


def copies_of(kind: TaskType, examples: Sequence[Example]) -> np.ndarray | None:
    """A number for each example, from 0, alike for copies; None where there are none. So the statistics take them."""
    numbers: dict[str, int] = {}
    found = [numbers.setdefault(kind.content(example), len(numbers)) for example in examples]
    return np.array(found) if len(numbers) < len(found) else None


def copies_within(kind: TaskType, examples: Sequence[Example], name: str) -> list[str]:
    """A warning when rows of one split are copies of others in it."""
    n = count_copies(kind, examples)
    if not n:
        return []
    so = "they weigh more in training" if name == "train" else "intervals count them as one"
    return [f"{count(n, 'row of ' + name + ' is a copy', 'rows of ' + name + ' are copies')} of another row of it: {so}."]


def alike_but_for_case(kind: TaskType, splits: Mapping[str, Sequence[Example]]) -> list[str]:
    """A warning when rows of dev or test stand in train as well, but for capital letters, which many bases do not see."""
    contents = {name: [kind.content(example).casefold() for example in splits[name]] for name in ("dev", "test")}
    wanted = {content for some in contents.values() for content in some}  # train may be far larger, so it is not kept
    seen = {content for example in splits["train"] if (content := kind.content(example).casefold()) in wanted}
    counts = {name: sum(content in seen for content in some) for name, some in contents.items()}
    shown = " and ".join(count(n, f"row of {name}", f"rows of {name}") for name, n in counts.items() if n)
    return [f"{shown} also stood in train but for capital letters, so quality may look better than it is."] if shown else []


def class_counts(kind: TaskType, examples: Sequence[Example]) -> Counter[str]:
    """In how many examples each class stands."""
    return Counter(name for example in examples for name in set(kind.classes_of(example)))


def unjudged(kind: TaskType, splits: Mapping[str, Sequence[Example]], metric: str) -> list[str]:
    """A warning of the classes of train that stand in no row of dev, or in none of test."""
    counts = {name: class_counts(kind, splits[name]) for name in SPLITS}
    lacking = {
        name: [label for label in counts["train"] if not counts[name][label]] for name in ("dev", "test") if splits[name]
    }
    found = []
    for label in dict.fromkeys(label for labels in lacking.values() for label in labels):
        found.append((label, [name for name, labels in lacking.items() if label in labels]))
    if not found:
        return []
    shown = ", ".join(f"{label!r} (none in {' and '.join(names)})" for label, names in found[:NAMED])
    more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
    return [
        f"{count(len(found), 'class cannot', 'classes cannot')} be judged, since too few rows have them: {shown}{more}; "
        f"{metric} says nothing of them. Add rows that have them, or leave them out."
    ]


def lookalikes(targets: Targets) -> list[str]:
    """A warning of labels that differ in nothing but case, spaces, signs and how a number or an accent is written."""
    alike: dict[str, list[str]] = defaultdict(list)
    for label in targets.names if isinstance(targets, Classes) else ():
        alike[_bare(label)].append(label)
    pairs = [names for names in alike.values() if len(names) > 1]
    if not pairs:
        return []
    shown = "; ".join(" and ".join(map(repr, names)) for names in pairs[:NAMED])
    return [f"Labels that may mean the same are classes of their own: {shown}. Write each in one way."]


def doubtful_classes(targets: Targets) -> list[str]:
    """Warnings of classes that may be none: what programs write for a missing value, what Excel makes a date of, and several
    labels with a sign between them."""
    names = targets.names if isinstance(targets, Classes) else ()
    nothing = [name for name in names if name.casefold() in LIKE_NOTHING and not (name == "-" and "+" in names)]
    dates = [name for name in names if EXCEL_DATE.fullmatch(name)]
    found = []
    if nothing:
        found.append(
            f"{', '.join(map(repr, nothing[:NAMED]))} may stand for a missing label, but {was_taken(nothing)}; leave these "
            "rows out if they have none."
        )
    if dates and 2 * len(dates) < len(names):
        found.append(f"{', '.join(map(repr, dates[:NAMED]))} may be what Excel made of another label; correct it if so.")
    return found + ([] if isinstance(targets, Labels) else _joined_classes(names))


def was_taken(names: Sequence[str]) -> str:
    return "is taken for a class" if len(names) == 1 else "are taken for classes"


def _joined_classes(names: Sequence[str]) -> list[str]:
    """A warning of classes that are other classes with a sign between them."""
    known = set(names)
    for name in names:
        for joint in BETWEEN_CLASSES:
            parts = [part.strip() for part in name.split(joint)]
            if len(parts) > 1 and len(set(parts)) > 1 and set(parts) <= known - {name}:
                shown = " and ".join(map(repr, parts))
                return [
                    f"The class {name!r} may be several, {shown}, which are classes, too; if a text can have several labels, "
                    f"write lists, or {'|'.join(parts)!r}, with `task: multi-label`."
                ]
    return []


def _bare(label: str) -> str:
    """What is left of a label without the ways in which people write the same."""
    plain = {"True": "1", "False": "0"}.get(label, unicodedata.normalize("NFKC", label).casefold())
    try:
        return str((Decimal(plain) + 0).normalize())  # a float would round long ones
    except InvalidOperation:
        return "".join(c for c in plain if c.isalnum()) or label


def count(n: int, one: str, many: str) -> str:
    return f"{n:,} {one if n == 1 else many}"


def was(n: int) -> str:
    return "was" if n == 1 else "were"
