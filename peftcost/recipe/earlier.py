"""A model that was trained before, on the rows that a new one is gated by."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from peftcost.core.statistics import plain_value
from peftcost.recipe.gate import refuse
from peftcost.recipe.predict import predicted_rows, read_card
from peftcost.task.splits import TaskData
from peftcost.tasks.targets import Classes, Targets, Values, targets_from


def quality_of_earlier(folder: Path, data: TaskData, devices: str | None) -> float:
    """What the model in a trained folder reaches on the dev split, in the metric of the data. UserError for another folder.
    GateError where it was trained for another task, or for other classes: then nothing can be compared."""
    card = read_card(folder)
    name, targets = card["dataset_info"]["task"], targets_from(card["dataset_info"]["targets"])
    if name != data.task_type.name or names_in(targets) != names_in(data.targets):
        refuse(
            [
                f"{folder} was trained for {name} ({targets.describe()}), the data is {data.task_type.name} "
                f"({data.targets.describe()}), so they cannot be compared; leave --gate-against out."
            ]
        )
    rows = predicted_rows(folder, card, data.dev, devices)
    return plain_value(in_scale(rows, targets, data.targets), data.metric.compute)


def names_in(targets: Targets) -> tuple[str, ...]:
    """Of the classes, where there are some; they stand in one order whatever the data."""
    return targets.names if isinstance(targets, Classes) else ()


def in_scale(rows: np.ndarray, own: Targets, wanted: Targets) -> np.ndarray:
    """Rows of numbers that were learnt in the scale of other training rows, in the wanted one; other rows as they are."""
    if not (isinstance(own, Values) and isinstance(wanted, Values)):
        return rows
    return (own.mean + own.scale * rows.astype(np.float64) - wanted.mean) / wanted.scale
