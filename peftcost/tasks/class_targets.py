"""What all task types share whose targets are classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from peftcost.errors import OtherData, UserError, did_you_mean
from peftcost.tasks.base import Example, TaskType
from peftcost.tasks.targets import Classes, Targets, expect

IMBALANCE = 4
"""The most frequent class has this many times the rows of the rarest: a share of hits would hardly see the rare one."""


class ClassTargets(TaskType):
    """A task type that predicts classes: one an example, one a token, or several."""

    def targets(self, train: Sequence[Example]) -> Targets:
        """The class names in a fixed order: as numbers where all are, else by name."""
        found = {name for example in train for name in self.classes_of(example)}
        if len(found) < 2:
            only = f"only the label {next(iter(found))!r}" if found else "no labels"
            raise UserError(f"the {len(train)} training rows hold {only}; at least two are needed to learn from.")
        if all(name.isdecimal() for name in found):
            return Classes(tuple(sorted(found, key=lambda name: (int(name), name))))
        return Classes(tuple(sorted(found)))

    def can_learn(self, train: Sequence[Example]) -> bool:
        return len({name for example in train for name in self.classes_of(example)}) >= 2

    def check_targets(self, examples: Sequence[Example], targets: Targets, split: str) -> None:
        names = expect(Classes, targets).names
        known = set(names)
        for example in examples:
            for name in self.classes_of(example):
                if name not in known:
                    raise OtherData(
                        f"{example['place']}: the label {name!r} of the {split} split does not occur in train; correct "
                        f"it, or add training rows that have it.{did_you_mean(name, list(names))}"
                    )

    def model_options(self, targets: Targets) -> dict[str, Any]:
        classes = expect(Classes, targets)
        return {"num_labels": len(classes), "id2label": dict(enumerate(classes.names)), "label2id": classes.ids}


def unbalanced(counts: Counter[str], what: str, usual: str, unless: str) -> tuple[str, str | None]:
    """The usual metric; or macro F1, and why, where the rarest class would hardly count. counts: the rows of each."""
    ordered = counts.most_common() or [("", 0)]
    (largest, most), (rarest, fewest) = ordered[0], ordered[-1]
    if not counts or most < IMBALANCE * fewest:
        return usual, None
    return "macro_f1", (
        f"The metric is macro_f1, since the {what} are unbalanced ({most} rows of {largest!r}, {fewest} of {rarest!r}); "
        f"set `metric: {usual}` {unless}."
    )
