"""Where the recommended setup errs: slices of the dev rows, and the examples that are hardest for it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from peftcost.core.statistics import nested_sample, with_interval
from peftcost.errors import PeftcostError, UserError
from peftcost.report import numbers
from peftcost.report.calibration import Calibration, calibration
from peftcost.report.numbers import Cell
from peftcost.report.run_files import trial_folders
from peftcost.report.sentences import recommended_entry
from peftcost.store.run_folder import RunFolder
from peftcost.task.check import copies_of
from peftcost.task.splits import TaskData, column_by_place, load_task_data
from peftcost.task.task import load_task
from peftcost.tasks import Example, get_task_type

LONGEST = 400
"""Characters of an example that are shown."""
HARDEST = 12
ATTRIBUTIONS = "attributions.json"
WITHIN, BEGINS = "##", ("Ġ", "▁")
"""Marks of word pieces."""
PARTS = 4
MOST_VALUES = 12
FEWEST_IN_A_SLICE = 20
REPLICATES = 500


@dataclass(frozen=True)
class Slice:
    """Some of the dev rows, by what they are alike in."""

    name: str
    examples: int
    quality: Cell
    low: Cell
    high: Cell


@dataclass(frozen=True)
class Token:
    """A token as the model reads it. share: how much it speaks for what the model says, of the token that does most; what
    speaks against it is negative. begins: whether a space stands before it."""

    text: str
    share: float
    begins: bool


@dataclass(frozen=True)
class HardExample:
    """A dev row that the setup is wrong about. sure: how sure it is of what it says; p_true: what it gives the label.
    suspect: perhaps the label is wrong. tokens: with how much each of them counts; none where nobody has asked."""

    text: str
    tokens: list[Token]
    place: str
    label: str
    predicted: str
    sure: str
    p_true: str
    suspect: bool


@dataclass(frozen=True)
class Shown:
    """Of the data. examples: the hardest rows. by: a column whose values the dev rows are told by, too."""

    examples: bool = True
    by: str | None = None


NOTHING_HIDDEN = Shown()


@dataclass(frozen=True)
class OnDev:
    """The recommended setup on the dev rows that it was measured on, with one seed. slices: by what they are alike in.
    hardest: None if they are not to be shown, or there are none to show."""

    examples: int
    calibration: Calibration | None
    slices: dict[str, list[Slice]]
    hardest: list[HardExample] | None
    suspects: int


def on_dev(folder: Path, result: Mapping[str, Any], shown: Shown = NOTHING_HIDDEN) -> OnDev | None:
    """None where nothing is recommended, or its rows are gone. What needs the data is left out where these have changed or
    cannot be read any more; UserError for a column that they do not have."""
    entry = recommended_entry(result)
    if entry is None:
        return None
    trial = trial_folders(folder, entry)[0]
    if not (trial / "dev_rows.npy").exists():
        return None
    rows = np.load(trial / "dev_rows.npy", allow_pickle=False)
    file = trial / "dev_log_probabilities.npy"
    logs = np.load(file, allow_pickle=False).astype(np.float64) if file.exists() else None
    pairs = get_task_type(result["task"]["task"]).class_pairs(rows)
    data = data_of(folder, result)
    indices = [] if data is None else nested_sample(len(data.dev), len(rows)).tolist()
    seen = [] if data is None else [data.dev[i] for i in indices]
    hardest = None
    suspect = np.zeros(len(rows), dtype=bool)
    if logs is not None and pairs is not None:
        suspect = suspects(logs, pairs[:, 1])
        if shown.examples and data is not None:
            classes, tokens = result["task"]["classes"], tokens_by_example(trial, indices)
            hardest = hard_examples(seen, data, logs, pairs[:, 1], suspect, classes, tokens)
    return OnDev(
        examples=len(rows),
        calibration=None if logs is None or pairs is None else calibration(logs, pairs[:, 1]),
        slices={} if data is None else slices_of(folder, seen, rows, data, shown.by),
        hardest=hardest or None,
        suspects=int(suspect.sum()),
    )


def data_of(folder: Path, result: Mapping[str, Any]) -> TaskData | None:
    """The run's data, if they are still what they were."""
    try:
        data = load_task_data(load_task(RunFolder(folder).task_file), result["task"]["seed"])
    except (PeftcostError, OSError, KeyError):
        return None
    return data if data.fingerprint == result["task"]["fingerprints"]["data"] else None


def slices_of(
    folder: Path, seen: Sequence[Example], rows: np.ndarray, data: TaskData, by: str | None
) -> dict[str, list[Slice]]:
    """By length, and by the column."""
    found = {"words": length_slices(seen, rows, data)}
    if by is not None:
        values = column_by_place(load_task(RunFolder(folder).task_file), by)
        found[by] = value_slices([values.get(str(example["place"]), "") for example in seen], seen, rows, data)
    return {name: parts for name, parts in found.items() if parts}


def value_slices(values: Sequence[str], seen: Sequence[Example], rows: np.ndarray, data: TaskData) -> list[Slice]:
    """The most frequent values, that stand in enough rows."""
    own = np.array(values)
    common = [value for value, n in Counter(values).most_common(MOST_VALUES) if n >= FEWEST_IN_A_SLICE]
    return [slice_of(shortened(value) or "(empty)", own == value, rows, seen, data) for value in common]


def length_slices(seen: Sequence[Example], rows: np.ndarray, data: TaskData) -> list[Slice]:
    """Four parts of about as many rows, by their words. None where inputs have no length, or all the same."""
    if data.task_type.one_size or len(seen) < PARTS * FEWEST_IN_A_SLICE:
        return []
    words = np.array([len(data.task_type.content(example).split()) for example in seen])
    ends = np.unique(np.quantile(words, np.linspace(0, 1, PARTS + 1)).astype(int))
    found, first = [], ends[0]
    for high in ends[1:]:
        chosen = (words >= first) & (words <= high)
        if chosen.sum() < FEWEST_IN_A_SLICE or 0 < (words > high).sum() < FEWEST_IN_A_SLICE:
            continue  # together with the next ones
        told = f"{first} words" if first == high else f"{first} to {high} words"
        found.append(slice_of(told, chosen, rows, seen, data))
        first = high + 1
    return found if len(found) > 1 else []


def slice_of(name: str, chosen: np.ndarray, rows: np.ndarray, seen: Sequence[Example], data: TaskData) -> Slice:
    """chosen: which of the rows, shape (n,). seen: their examples."""
    copies = copies_of(data.task_type, [seen[i] for i in np.flatnonzero(chosen).tolist()])
    told = with_interval(rows[chosen], data.metric.compute, data.metric.limits, REPLICATES, copies=copies)
    return Slice(name, int(chosen.sum()), *map(numbers.quality, told))


def suspects(log_probabilities: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Which labels are perhaps wrong, shape (n,): the model is as sure of another class as it is on average where that class
    is right (confident learning; Northcutt et al. 2021, JAIR 70)."""
    p = np.exp(log_probabilities)
    usual = np.array([p[true == c, c].mean() if (true == c).any() else np.inf for c in range(p.shape[1])])
    likely = np.where(p >= usual, p, 0.0)
    return np.asarray((likely.max(axis=1) > 0) & (likely.argmax(axis=1) != true) & (p.argmax(axis=1) != true))


def hard_examples(
    seen: Sequence[Mapping[str, Any]],
    data: TaskData,
    log_probabilities: np.ndarray,
    true: np.ndarray,
    suspect: np.ndarray,
    classes: Sequence[str],
    tokens: Mapping[int, list[Token]],
) -> list[HardExample]:
    """Those that are wrong, the least likely label first. tokens: by place among those seen."""
    p, predicted = np.exp(log_probabilities), log_probabilities.argmax(axis=1)
    p_true = p[np.arange(len(true)), true]
    if data.task_type.one_size:  # pictures have no text
        return []
    return [
        HardExample(
            text=shortened(data.task_type.content(dict(seen[i]))),
            tokens=tokens.get(i, []),
            place=Path(str(seen[i]["place"])).name,
            label=classes[true[i]],
            predicted=classes[predicted[i]],
            sure=numbers.percent(float(p[i, predicted[i]])),
            p_true=numbers.percent(float(p_true[i])),
            suspect=bool(suspect[i]),
        )
        for i in hardest_places(log_probabilities, true)
    ]


def hardest_places(log_probabilities: np.ndarray, true: np.ndarray) -> list[int]:
    """Where those stand that are wrong, the least likely label first."""
    p_true, predicted = log_probabilities[np.arange(len(true)), true], log_probabilities.argmax(axis=1)
    return [int(i) for i in np.argsort(p_true, kind="stable") if predicted[i] != true[i]][:HARDEST]


def hardest_of(trial: Path, data: TaskData) -> list[int]:
    """The indices in dev of the examples that are hardest for the training in this folder. UserError where that cannot be
    told."""
    rows, file = np.load(trial / "dev_rows.npy", allow_pickle=False), trial / "dev_log_probabilities.npy"
    pairs = data.task_type.class_pairs(rows)
    if pairs is None or not file.exists():
        raise UserError(f"{trial} has no probabilities of classes, so its hardest examples cannot be told.")
    seen = nested_sample(len(data.dev), len(rows))
    return [int(seen[i]) for i in hardest_places(np.load(file, allow_pickle=False), pairs[:, 1])]


def tokens_by_example(trial: Path, indices: Sequence[int]) -> dict[int, list[Token]]:
    """What `peftcost report --attributions` has found, by place among the rows of dev that were seen, of these indices."""
    file = trial / ATTRIBUTIONS
    if not file.exists():
        return {}
    place_of = {index: place for place, index in enumerate(indices)}
    found = json.loads(file.read_text(encoding="utf-8"))
    return {place_of[each["example"]]: tokens_of(each) for each in found if each["example"] in place_of}


def tokens_of(found: Mapping[str, Any]) -> list[Token]:
    """Without those that no text holds. Word pieces carry their tokenizer's mark: ## within a word, Ġ or ▁ at its begin."""
    every = zip(found["tokens"], found["scores"], found["special"], strict=True)
    told = [(text, score) for text, score, is_special in every if not is_special]
    most = max((abs(score) for _, score in told), default=0.0) or 1.0
    marked = any(text.startswith(BEGINS) for text, _ in told)
    return [
        Token(
            text.removeprefix(WITHIN).lstrip("".join(BEGINS)),
            score / most,
            text.startswith(BEGINS) if marked else not text.startswith(WITHIN),
        )
        for text, score in told
    ]


def shortened(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
