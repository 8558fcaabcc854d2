"""The task types: one file each."""

from functools import cache

from peftcost.core.registry import discover, look_up
from peftcost.tasks.base import Example, Metric, TaskType

__all__ = ["Example", "Metric", "TaskType", "get_task_type", "task_types"]


@cache
def task_types() -> dict[str, TaskType]:
    """All task types by name."""
    return discover(__name__, __path__, TaskType)  # type: ignore[type-abstract]


def get_task_type(name: str) -> TaskType:
    """The task type of that name, or a UserError that names the nearest."""
    return look_up(name, task_types(), "task")
