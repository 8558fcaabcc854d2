"""Which metric a task is judged by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from peftcost.data.guess import shown
from peftcost.errors import UserError
from peftcost.task.task import check_metric_name
from peftcost.tasks.base import Example, Metric, TaskType
from peftcost.tasks.named_metric import metric_of, with_targets
from peftcost.tasks.own_metric import checked_options
from peftcost.tasks.targets import Targets


def judged_by(
    kind: TaskType,
    said: str | Mapping[str, Any] | None,
    train: Sequence[Example],
    path: str,
    columns: Mapping[str, Any],
    where_said: str = "metric",
) -> tuple[Targets, Metric, list[str]]:
    """The targets of these rows, the metric, and why it is not the task type's first where nobody has asked for it.

    where_said: the metric's place, for messages. UserError, with file and column, if one cannot learn from the rows; with
    the metric's place if what is said of it is wrong, or does not suit the rows.
    """
    where = f"{path}, column {shown(list(columns.values())[-1])}"
    where_said = where if said is None else where_said
    why: str | None = None
    kind.check_rows(said if isinstance(said, str) else None, train)
    if said is None:
        said, why = kind.default_metric(train)
    try:
        targets = kind.targets(train)
    except UserError as error:
        raise UserError(f"{where}: {error}") from error
    try:
        metric = _metric(kind, said, targets)
    except UserError as error:
        raise UserError(f"{where_said}: {error}") from error
    return targets, metric, [why] if why else []


def _metric(kind: TaskType, said: str | Mapping[str, Any], targets: Targets) -> Metric:
    options = {} if isinstance(said, str) else dict(said)
    if "file" in options:
        options = checked_options(options, kind)
        return metric_of(kind, str(options["function"]), with_targets(options, targets))
    name = said if isinstance(said, str) else str(options.pop("name", ""))
    check_metric_name(name, kind.name)
    if options:
        return metric_of(kind, name, with_targets(options, targets))
    kind.check_metric(name, targets)
    return kind.metrics[name]
