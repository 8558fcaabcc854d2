"""The learning curve of a training, as lines of JSON beside its rows: curve.jsonl.

A line is written when it is known, so that another process can follow a training, and a crash loses none of it; so few
points take some kilobytes. The first line is {"total_steps", "first_step", "parent"}; each other one is {"step",
"train_loss"}, the mean over the steps since the line before, or {"step", "dev_loss", "quality"}.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from peftcost.engine.messages import Progress
from peftcost.errors import UserError
from peftcost.store.run_folder import RunFolder

Line = Mapping[str, Any]


@dataclass(frozen=True)
class LearningCurve:
    """One training, from step 1 on, with those of its lineage that it went on from.

    Attributes:
        total_steps: As planned.
        steps: The steps that losses are told of.
        train_loss: For each of them the mean training loss since the one before.
        evaluations: (step, dev loss, dev quality) of those made on the way and of the one at the end.
    """

    total_steps: int
    steps: list[int]
    train_loss: list[float]
    evaluations: list[tuple[int, float, float]]


def learning_curve(run_folder: Path | str, setup_id: str, seed: int) -> LearningCurve:
    """Read the learning curve of a training of a run, which may still be running.

    Args:
        run_folder: As in `runs/NAME`.
        setup_id: As result.json and the report name it.
        seed: One that the setup was trained with.

    Returns:
        The losses and evaluations from step 1 on.

    Raises:
        UserError: When the run has no such training, or it has not begun.
    """
    folder = RunFolder(Path(run_folder))
    file = curve_file(folder, setup_id, seed)
    lines = read_lines(file)
    if not lines:
        raise UserError(f"There is no {file}: the setup was not trained with seed {seed}, or has not begun.")
    parent, first_step = lines[0]["parent"], lines[0]["first_step"]
    curve = curve_of(lines)
    if parent is None or not curve_file(folder, parent, seed).exists():
        return curve
    before = learning_curve(run_folder, parent, seed)
    losses = {step: loss for step, loss in zip(before.steps, before.train_loss, strict=True) if step <= first_step}
    losses = dict(zip(curve.steps, curve.train_loss, strict=True)) | losses
    steps = sorted(losses)
    return replace(curve, steps=steps, train_loss=[losses[step] for step in steps])


def curve_of(lines: Sequence[Line]) -> LearningCurve:
    """What the lines of a training say, without those that it went on from. An earlier line of a step counts."""
    losses = {line["step"]: line["train_loss"] for line in reversed(lines) if "train_loss" in line}
    evaluations = {line["step"]: (line["step"], line["dev_loss"], line["quality"]) for line in lines if "quality" in line}
    steps = sorted(losses)
    return LearningCurve(lines[0]["total_steps"], steps, [losses[step] for step in steps], list(evaluations.values()))


def first_line(progress: Progress, parent: str | None) -> Line:
    """What the curve of a training begins with. parent: the id of the setup that it goes on from, if it does."""
    return {"total_steps": progress.total_steps, "first_step": progress.first_step, "parent": parent}


def progress_lines(progress: Progress) -> list[Line]:
    """What a message adds to the curve."""
    losses: list[Line] = [{"step": int(step), "train_loss": loss} for step, loss in progress.losses]
    return losses + [evaluation_line(int(step), loss, quality) for step, loss, quality in progress.evaluations]


def evaluation_line(step: int, dev_loss: float, quality: float) -> Line:
    return {"step": step, "dev_loss": dev_loss, "quality": quality}


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
