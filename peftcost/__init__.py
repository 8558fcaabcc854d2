"""peftcost: the cheapest fine-tuning setup that is as good as the best one, found within your GPU budget.

>>> import peftcost
>>> run = peftcost.search("task.yaml", budget="4gpu-h")   # doctest: +SKIP
>>> run.recommend().id                                     # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from peftcost.errors import EnvironmentFailure, GateError, PeftcostError, UserError

if TYPE_CHECKING:
    from peftcost.api import (
        LearningCurve,
        Run,
        learning_curve,
        load_model,
        load_recipe,
        load_run,
        load_task,
        plan,
        resume,
        search,
    )

    __version__: str

__all__ = [
    "EnvironmentFailure",
    "GateError",
    "LearningCurve",
    "PeftcostError",
    "Run",
    "UserError",
    "learning_curve",
    "load_model",
    "load_recipe",
    "load_run",
    "load_task",
    "plan",
    "resume",
    "search",
]


def __getattr__(name: str) -> Any:
    """Import on first use: `import peftcost` alone stays quick."""
    if name == "__version__":
        return _version()
    if name in __all__:
        from peftcost import api

        return getattr(api, name)
    raise AttributeError(f"module 'peftcost' has no attribute {name!r}")


def _version() -> str:
    """The installed version. A checkout on PYTHONPATH alone has none."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("peftcost")
    except PackageNotFoundError:
        return "0+unknown"
