"""The learning curve of a training, as lines of JSON beside its rows: curve.jsonl.

A line is written when it is known, so that another process can follow a training, and a crash loses none of it; so few
points take some kilobytes. The first line is {"total_steps", "first_step", "parent"}; each other one is {"step",
"train_loss"}, the mean over the steps since the line before, or {"step", "dev_loss", "quality"}.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peftcost.errors import UserError
from peftcost.store.run_folder import RunFolder

Line = Mapping[str, Any]


@dataclass(frozen=True)
class LearningCurve:
    """One training, from step 1 on, with those of its lineage that it went on from.

    total_steps: as planned. steps, train_loss: each loss is the mean over the steps since the one before. evaluations: (step,
    dev loss, dev quality) of those made on the way and of the one at the end; none as long as there was none.
    """

    total_steps: int
    steps: list[int]
    train_loss: list[float]
    evaluations: list[tuple[int, float, float]]


def learning_curve(run_folder: Path | str, setup_id: str, seed: int) -> LearningCurve:
    """The learning curve of a setup that was trained with this seed, or still is; UserError if the run has none."""
    folder = RunFolder(Path(run_folder))
    file = curve_file(folder, setup_id, seed)
    lines = read_lines(file)
    if not lines:
        raise UserError(f"There is no {file}: the setup was not trained with seed {seed}, or has not begun.")
    first = lines[0]
    losses = {line["step"]: line["train_loss"] for line in reversed(lines) if "train_loss" in line}
    if first["parent"] is not None and curve_file(folder, first["parent"], seed).exists():
        before = learning_curve(run_folder, first["parent"], seed)
        trunk = zip(before.steps, before.train_loss, strict=True)
        losses |= {step: loss for step, loss in trunk if step <= first["first_step"]}
    steps = sorted(losses)
    evaluations = {line["step"]: (line["step"], line["dev_loss"], line["quality"]) for line in lines if "quality" in line}
    return LearningCurve(first["total_steps"], steps, [losses[step] for step in steps], list(evaluations.values()))


def curve_file(folder: RunFolder, setup_id: str, seed: int) -> Path:
    """Where the learning curve of a training lies."""
    return folder.trial(setup_id, seed) / "curve.jsonl"


def append_lines(file: Path, lines: Iterable[Line]) -> None:
    """Write further lines of a learning curve."""
    with file.open("a", encoding="utf-8") as to:
        to.write("".join(json.dumps(line) + "\n" for line in lines))


def read_lines(file: Path) -> list[Line]:
    """The whole lines of a learning curve; none if there is no file yet. What a crash tore apart is passed over."""
    if not file.exists():
        return []
    found = []
    for text in file.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            found.append(json.loads(text))
        except json.JSONDecodeError:
            continue
    return found
