"""A metric by its name and its options, as task.yaml, prepared data and results hold it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from peftcost.tasks.base import Metric, TaskType
from peftcost.tasks.own_metric import own_metric
from peftcost.tasks.targets import Targets, targets_from

TARGETS = "targets"


def metric_of(kind: TaskType, name: str, options: Mapping[str, Any] | None) -> Metric:
    """The metric of this name; of what `with_targets` gave where it has options."""
    if not options:
        return kind.metrics[name]
    targets = targets_from(options[TARGETS])
    said = {key: value for key, value in options.items() if key not in (TARGETS, "name")}
    found = own_metric(said, kind, targets) if "file" in said else kind.with_options(kind.metrics[name], said, targets)
    return replace(found, options=dict(options))


def with_targets(options: Mapping[str, Any], targets: Targets) -> dict[str, Any]:
    """The options with all that the metric needs, as JSON holds it."""
    return {**options, TARGETS: targets.as_dict()}
