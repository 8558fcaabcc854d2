"""Which hyperparameters tell the setups of a result apart, and which are the same in all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from peftcost.core.setup_words import setup_words
from peftcost.report.numbers import epochs

Entry = Mapping[str, Any]
"""One of result.json's setups."""


def words_of(entry: Entry, train_rows: int = 0) -> str:
    """A setup by its choices, as in "lora r=8, lr 5e-4, 4,000 examples"; with "(2 epochs)" where the rows are known."""
    words = setup_words(entry["method"], entry["hyperparameters"], entry["stop_examples"])
    length = epochs(entry["stop_examples"] or 0, train_rows) if entry["stop_examples"] else ""
    return f"{words} ({length})" if length else words


def varied(entries: Sequence[Entry]) -> set[str]:
    """The hyperparameters that take several values among the setups that have them; stop_examples is one of them."""
    values: dict[str, set[str]] = {}
    for entry in entries:
        for key, value in all_choices(entry).items():
            values.setdefault(key, set()).add(repr(value))
    return {key for key, found in values.items() if len(found) > 1}


def choices_of(entry: Entry, keys: set[str]) -> str:
    """The choices of one setup among the given keys, as in "learning rate 0.001, rank 8, 4,000 examples"."""
    return ", ".join(spell_choice(key, value) for key, value in all_choices(entry).items() if key in keys and is_on(value))


def common_choices(entries: Sequence[Entry]) -> str:
    """The choices in which no two setups differ."""
    everything = {key: value for entry in entries for key, value in all_choices(entry).items()}
    differ = varied(entries)
    return ", ".join(spell_choice(key, value) for key, value in everything.items() if key not in differ and is_on(value))


def all_choices(entry: Entry) -> dict[str, Any]:
    """Hyperparameters, then the length."""
    return {**entry["hyperparameters"], "stop_examples": entry["stop_examples"]}


def is_on(value: Any) -> bool:
    """None and False say that a choice is not taken; zero is a choice."""
    return value is not None and value is not False


def spell_choice(key: str, value: Any) -> str:
    name = key.replace("_", " ")
    if key == "stop_examples":
        return f"{value:,} examples"
    if value is True:
        return name
    return f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}"
